-- /// asset
-- description = "What the last seven days were like, for each day that has six before it"
-- partitions = { daily = { start = "2012-01-07", end = "2016-01-01" } }
-- deps = { daily_weather = "window(-6d, 0d)" }
-- checks = ["rows = 1", "not_null(temp_mean_7d)"]
-- ///

-- `daily_weather` holds this day and the six before it.
SELECT
    $partition AS date,
    count(*) AS days,
    round(avg(temp_mean), 2) AS temp_mean_7d,
    round(sum(precipitation), 1) AS rain_mm_7d,
    sum(weather = 'sun') AS sunny_days_7d
FROM daily_weather
