-- /// asset
-- description = "What one file of the inbox says: how many days, how warm, how wet"
-- partitions = "each(inbox)"
-- checks = ["rows = 1"]
-- ///

SELECT
    $partition AS station,
    count(*) AS days,
    round(avg((temp_max + temp_min) / 2.0), 2) AS temp_mean,
    round(sum(precipitation), 1) AS rain_mm
FROM inbox
