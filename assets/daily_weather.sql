-- /// asset
-- description = "One day as it was measured, with an ISO date and the middle of its temperatures"
-- partitions = { daily = { start = "2012-01-01", end = "2016-01-01" } }
-- checks = ["rows = 1", "not_null(date)", "not_null(temp_max)", "not_null(temp_min)"]
-- ///

-- `raw_weather` holds the rows of this day only.
SELECT
    $partition AS date,
    round((temp_max + temp_min) / 2, 2) AS temp_mean,
    temp_max,
    temp_min,
    precipitation,
    wind,
    weather
FROM raw_weather
