#!/bin/sh
# The steps of a CI run, in any shell: build, profile, verify, compare with the base branch's bundles, comment, upload.
# action.yml and ci/gitlab.yml run it; docs/ci.md walks through it.
#
#     TARGETS="raspberry-pi-4 jetson-orin-nano" BASE=base FAIL_ON="accuracy:-0.5% latency_ms.p50:+5%" scripts/ci_example.sh
#
# All variables are optional; defaults are in parentheses:
#   RECIPE   name of a recipe or its folder                                             (digits)
#   TARGETS  full names of targets                                                      (host)
#   BUILD    more arguments of 'edgeprune build'
#   DEVICES  device of each target: "raspberry-pi-4=ssh://pi@kitchen nucleo-l4r5zi=emulator:microcontroller"; other
#            targets keep the profile of the build. The bundle of the base branch is measured interleaved, so that drift of
#            the device affects both. The emulator of a Raspberry Pi is installed if it is missing
#   BASE     folder with the bundles of the base branch; if unset, nothing is compared
#   FAIL_ON  limits of 'edgeprune compare'                                              (its defaults)
#   UNDECIDED  'pass' or 'fail': result of a limit that the measurements cannot decide  (fail)
#   OUT      folder for bundles, comment.md and compare-*.xml                            (dist)
#   COMMENT  command that reads comment.md from its standard input
#   UPLOAD   command that takes the archives as arguments
#
# The exit code is the highest of all steps: 0 if all checks pass, 4 if a limit is exceeded; docs/reference/exit-codes.md
# lists the others.
set -u
RECIPE=${RECIPE:-digits} TARGETS=${TARGETS:-host} OUT=${OUT:-dist} BASE=${BASE:-}
worst=0

step() { # runs a command, and records the highest exit code
    echo "+ $*" >&2
    code=0
    "$@" || code=$?
    if [ "$code" -gt "$worst" ]; then worst=$code; fi
    return "$code"
}

device_of() { # prints the device of a target in DEVICES
    for pair in ${DEVICES:-}; do
        case $pair in "$1="*) echo "${pair#*=}" ;; esac
    done
}

mkdir -p "$OUT"
name=$(basename "$RECIPE")
for target in $TARGETS; do rm -rf "$OUT/$name-$target" "$OUT/$name-$target.tar.gz"; done

targets='' limits='' archives=''
for target in $TARGETS; do targets="$targets --target $target"; done
for limit in ${FAIL_ON:-}; do limits="$limits --fail-on $limit"; done
[ -z "${UNDECIDED:-}" ] || limits="$limits --undecided $UNDECIDED"

# A build that misses its budget (4) still writes the bundle, and a failed target does not stop the others.
# shellcheck disable=SC2086 # words are meant to split
step edgeprune build "$RECIPE" $targets --output "$OUT" ${BUILD:-}

: > "$OUT/comment.md"
for target in $TARGETS; do
    bundle=$OUT/$name-$target base=''
    if [ -n "$BASE" ] && [ -d "$BASE/$name-$target" ]; then base=$BASE/$name-$target; fi
    [ -d "$bundle" ] || continue
    device=$(device_of "$target")
    case $device in emulator:raspberry-*) step edgeprune emulator install "${device#emulator:}" ;; esac
    [ -z "$device" ] || step edgeprune profile "$bundle" --device "$device" ${base:+--baseline "$base"}
    step edgeprune verify "$bundle.tar.gz" && archives="$archives $bundle.tar.gz"
    if [ -n "$base" ]; then
        # shellcheck disable=SC2086
        step edgeprune compare "$base" "$bundle" $limits --markdown --junit "$OUT/compare-$target.xml" \
            >> "$OUT/comment.md"
    else
        printf '**%s for %s**: there is no bundle of the base branch to compare with\n' "$name" "$target" >> "$OUT/comment.md"
    fi
    echo >> "$OUT/comment.md"
done

if [ -n "${COMMENT:-}" ]; then step sh -c "$COMMENT" < "$OUT/comment.md"; fi
# shellcheck disable=SC2086
if [ -n "${UPLOAD:-}" ] && [ -n "$archives" ]; then step sh -c "$UPLOAD \"\$@\"" upload $archives; fi
exit "$worst"
