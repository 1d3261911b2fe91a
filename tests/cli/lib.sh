# lib.sh - what the command-line tests share: a folder of their own, and checks that say what they saw.
#   sh test_x.sh SUMI GOLDEN_DIR
set -u
sumi=$1
golden=$2
model=$golden/sd1/model.safetensors # a complete, tiny Stable Diffusion 1
unit_pictures=$(cd "$(dirname "$0")/../unit/pictures" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/sumi-cli-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
# Nothing of this machine's user reaches the tests.
unset SUMI_MODEL
export XDG_CONFIG_HOME="$work/config" XDG_CACHE_HOME="$work/cache" LC_ALL=C
failures=0

wrong() {
	failures=$((failures + 1))
	printf 'WRONG: %s\n' "$*"
}

# expect CODE PATTERN ARGUMENTS…: this exit code; and on stderr, where the code is not 0, one line that matches.
expect() {
	code=$1 pattern=$2
	shift 2
	"$sumi" "$@" >out 2>err </dev/null
	got=$?
	[ $got -eq "$code" ] || wrong "sumi $*: exit code $got instead of $code: $(head -c 300 err)"
	if [ -n "$pattern" ]; then
		grep -q -e "$pattern" err out || wrong "sumi $*: no \"$pattern\" in: $(head -c 300 err)"
	fi
	if [ "$code" -ne 0 ] && [ "$code" -ne 130 ]; then
		lines=$(grep -c '^sumi: ' err)
		[ "$lines" -eq 1 ] || wrong "sumi $*: $lines lines instead of one: $(head -c 300 err)"
	fi
}

# number FILE OFFSET: four bytes of a file, big-endian.
number() { od -An -tu1 -j "$2" -N 4 "$1" | { read -r a b c d && echo $(((a * 256 + b) * 65536 + c * 256 + d)); }; }

# is_png FILE WIDTH HEIGHT
is_png() {
	[ -s "$1" ] || { wrong "$1 was not written"; return; }
	w=$(number "$1" 16) h=$(number "$1" 20)
	[ "$w" = "$2" ] && [ "$h" = "$3" ] || wrong "$1 is $w×$h instead of $2×$3"
}

# tiny_config UNET AUTOENCODER GROUPS: JSON of a tiny latent diffusion model with so many channels, and groups of norms.
tiny_config() {
	cat <<END
{"unet": {"in_channels": 2, "out_channels": 2, "model_channels": $1, "channel_mult": [1, 2], "num_res_blocks": 1,
          "attention_resolutions": [2], "num_heads": 2, "context_dim": 16, "norm_num_groups": $3},
 "dd": {"ch": $2, "ch_mult": [1, 2], "num_res_blocks": 1, "z_channels": 2, "embed_dim": 2, "norm_num_groups": $3},
 "text": {"vocab_size": 200, "n_embed": 16, "n_layer": 1, "heads": 2, "dim_head": 8, "max_seq_len": 8,
          "logits": false}}
END
}

same() { cmp -s "$1" "$2" || wrong "$1 and $2 differ"; }
differ() { cmp -s "$1" "$2" && wrong "$1 and $2 are the same"; }
finish() { [ $failures -eq 0 ] || exit 1; }
