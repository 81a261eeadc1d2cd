# Makes what is wanted; the rows are read once.
for name in $GIORNATA_WANTED; do
  case $name in
    good) awk -F, 'NR == 1 || $2 > 0' "$orders" > "$GIORNATA_OUTPUT_GOOD" ;;
    bad) awk -F, 'NR == 1 || $2 == 0' "$orders" > "$GIORNATA_OUTPUT_BAD" ;;
  esac
done
