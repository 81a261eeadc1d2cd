echo "$GIORNATA_PARTITION" > "$output"
! grep -qx "$GIORNATA_PARTITION" broken.txt
