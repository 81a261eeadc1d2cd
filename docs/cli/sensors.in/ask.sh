if [ -n "$GIORNATA_CURSOR" ]; then
    echo '{"skip": "nothing since '$GIORNATA_CURSOR'"}'
else
    echo '{"run_key": "1", "config": {"of": "the first"}}'
    echo '{"cursor": "1"}'
fi
