#!/bin/sh
# /// asset
# description = "A page about one year: open out/reports/2014.html"
# deps = ["monthly_climate"]
# partitions = { cron = { cron = "0 0 1 1 *", start = "2012-01-01", end = "2016-01-01", format = "%Y" } }
# output = "report.html"
# export = "out/reports/{partition}.html"
# ///

# $monthly_climate is a directory with a CSV file for each month of the year, named <month>.csv.
# $output is where the page goes. Any POSIX awk will do.
set -eu
LC_ALL=C
export LC_ALL

awk -F, -v year="$GIORNATA_PARTITION" '
FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
{
    n++
    name[n] = substr("JanFebMarAprMayJunJulAugSepOctNovDec", 3 * substr($column["month"], 6) - 2, 3)
    days[n] = $column["days"]; mean[n] = $column["temp_mean"]
    high[n] = $column["temp_max"]; low[n] = $column["temp_min"]
    rain[n] = $column["rain_mm"]; rainy[n] = $column["rainy_days"]; sunny[n] = $column["sunny_days"]
    all_days += days[n]; all_mean += days[n] * mean[n]
    all_rain += rain[n]; all_rainy += rainy[n]; all_sunny += sunny[n]
    if (n == 1 || high[n] > high[warm]) { warm = n; warmest = $column["warmest_day"] }
    if (n == 1 || low[n] < low[cold]) cold = n
    if (n == 1 || rain[n] > rain[wet]) wet = n
}
function x(i) { return 60 + (i - 1) * 56 }
function y_temp(t) { return 20 + (40 - t) * 4 }
function y_rain(r) { return 420 - r * 0.45 }
function tile(value, unit, label) {
    printf "<div class=\"tile\"><b>%s<small>%s</small></b><span>%s</span></div>\n", value, unit, label
}
function grid(y, text) {
    printf "<line class=\"grid\" x1=\"44\" x2=\"716\" y1=\"%.1f\" y2=\"%.1f\"/>", y, y
    printf "<text class=\"axis\" x=\"36\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", y + 4, text
}
function chart(   i, t, r, points) {
    print "<svg viewBox=\"-20 0 744 450\" role=\"img\" aria-label=\"Temperatures and rain by month; the table below has the figures\">"
    for (t = -10; t <= 40; t += 10) grid(y_temp(t), t "°")
    for (r = 0; r <= 300; r += 100) grid(y_rain(r), r " mm")
    for (i = 1; i <= n; i++) {
        printf "<rect class=\"range\" x=\"%d\" y=\"%.1f\" width=\"12\" height=\"%.1f\" rx=\"6\"><title>%s: %s to %s °C</title></rect>\n", \
            x(i) + 14, y_temp(high[i]), y_temp(low[i]) - y_temp(high[i]), name[i], low[i], high[i]
        printf "<rect class=\"rain\" x=\"%d\" y=\"%.1f\" width=\"36\" height=\"%.1f\" rx=\"2\"><title>%s: %s mm</title></rect>\n", \
            x(i) + 2, y_rain(rain[i]), 420 - y_rain(rain[i]), name[i], rain[i]
        printf "<text class=\"axis\" x=\"%d\" y=\"440\" text-anchor=\"middle\">%s</text>\n", x(i) + 20, name[i]
        points = points sprintf("%d,%.1f ", x(i) + 20, y_temp(mean[i]))
    }
    printf "<polyline class=\"mean\" points=\"%s\"/>\n", points
    for (i = 1; i <= n; i++)
        printf "<circle class=\"dot\" cx=\"%d\" cy=\"%.1f\" r=\"4\"><title>%s: mean %s °C</title></circle>\n", x(i) + 20, y_temp(mean[i]), name[i], mean[i]
    print "</svg>"
}
END {
    if (n == 0) { print "no month of " year " has a row" > "/dev/stderr"; exit 1 }
    print "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    print "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    printf "<title>Seattle in %s</title>\n<style>\n", year
    print ":root{--ink:#1d2733;--soft:#5b6776;--line:#dfe4ea;--page:#fbfaf7;--card:#fff;--warm:#b8502f;--range:#e8b79f;--rain:#2f6f9f}"
    print "@media (prefers-color-scheme:dark){:root{--ink:#e8ecf1;--soft:#a3b0bf;--line:#313c49;--page:#141a21;--card:#1c242d;--warm:#f0926d;--range:#70493b;--rain:#6db1e2}}"
    print "*{box-sizing:border-box}body{margin:0 auto;max-width:820px;padding:2.5rem 1.25rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}"
    print "h1{font:600 2.4rem/1.1 Georgia,serif;margin:0}header p,footer,.key{color:var(--soft)}header p{margin:.4rem 0 1.6rem}"
    print ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:.75rem}"
    print ".tile,.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:.9rem 1rem}.tile b{display:block;font-size:1.6rem}"
    print ".tile small{font-size:.9rem;font-weight:400;margin-left:.25em}.tile span{color:var(--soft);font-size:.9rem}.card{margin:.75rem 0;overflow-x:auto}"
    print "svg{width:100%;height:auto;display:block}.grid{stroke:var(--line)}.axis{fill:var(--soft);font-size:12px}.range{fill:var(--range)}.rain{fill:var(--rain)}"
    print ".mean{fill:none;stroke:var(--warm);stroke-width:2.5}.dot{fill:var(--card);stroke:var(--warm);stroke-width:2.5}.key{font-size:.9rem;margin:.5rem 0 0}"
    print "table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.35rem .5rem;text-align:right;border-bottom:1px solid var(--line)}"
    print "th{font-weight:600}th:first-child{text-align:left}tr:last-child>*{border-bottom:0}footer{font-size:.85rem;margin-top:1rem}"
    print "</style></head><body>"
    printf "<header><h1>Seattle in %s</h1><p>Warmest on %s with %s °C, coldest in %s with %s °C, wettest in %s.</p></header>\n", \
        year, warmest, high[warm], name[cold], low[cold], name[wet]
    print "<div class=\"tiles\">"
    tile(sprintf("%.1f", all_mean / all_days), "°C", "mean temperature")
    tile(sprintf("%.0f", all_rain), "mm", "rain and snow")
    tile(all_rainy, "days", "with 1 mm or more")
    tile(all_sunny, "days", "of sun")
    print "</div>\n<div class=\"card\">"
    chart()
    print "<p class=\"key\">Above: the mean temperature (line) between the lowest and the highest of the month (bars). Below: rain and snow.</p></div>"
    print "<div class=\"card\"><table><thead><tr><th scope=\"col\">Month</th><th scope=\"col\">Mean °C</th><th scope=\"col\">Lowest</th><th scope=\"col\">Highest</th><th scope=\"col\">Rain mm</th><th scope=\"col\">Wet days</th><th scope=\"col\">Sunny days</th></tr></thead><tbody>"
    for (i = 1; i <= n; i++)
        printf "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%d</td><td>%d</td></tr>\n", name[i], mean[i], low[i], high[i], rain[i], rainy[i], sunny[i]
    print "</tbody></table></div>"
    print "<footer>Daily records of NOAA, by way of vega-datasets.</footer></body></html>"
}
' "$monthly_climate"/*.csv > "$output"
