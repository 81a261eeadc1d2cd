# `config NAME` prints a text of the step's configuration, which is JSON in $GIORNATA_CONFIG.
config() {
    printf '%s' "$GIORNATA_CONFIG" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}
