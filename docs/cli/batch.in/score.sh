echo "the model is loaded once"
while read -r name; do
  if grep -q bill "$inbox/$name.txt"; then
    echo "{\"partition\": \"$name\", \"error\": \"no bills, thank you\"}" >> "$GIORNATA_METADATA"
  else
    grep -c . "$inbox/$name.txt" > "$output_dir/$name.txt"
    echo "{\"partition\": \"$name\", \"by\": \"model 7\"}" >> "$GIORNATA_METADATA"
  fi
done < "$GIORNATA_PARTITIONS"
