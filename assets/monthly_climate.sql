-- /// asset
-- description = "The climate of a month, from its days"
-- partitions = { monthly = { start = "2012-01-01", end = "2016-01-01" } }
-- checks = ["rows = 1", "not_null(temp_mean)"]
-- ///

-- `daily_weather` holds the days that overlap this month: the default between two kinds of windows.
SELECT
    $partition AS month,
    count(*) AS days,
    round(avg(temp_mean), 1) AS temp_mean,
    max(temp_max) AS temp_max,
    min(temp_min) AS temp_min,
    round(sum(precipitation), 1) AS rain_mm,
    sum(precipitation >= 1.0) AS rainy_days,
    sum(weather = 'sun') AS sunny_days,
    sum(weather = 'snow') AS snowy_days,
    round(avg(wind), 1) AS wind_mean,
    (SELECT date FROM daily_weather ORDER BY temp_max DESC, date LIMIT 1) AS warmest_day,
    (SELECT date FROM daily_weather WHERE precipitation > 0 ORDER BY precipitation DESC, date LIMIT 1)
        AS wettest_day
FROM daily_weather
