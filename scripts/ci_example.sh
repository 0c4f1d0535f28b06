#!/bin/sh
# The steps of a CI run, in any shell: build, profile, verify, compare with the base branch's bundles, comment, upload.
# action.yml and ci/gitlab.yml run it; docs/ci.md walks through it.
#
#     TARGETS="raspberry-pi-4 jetson-orin-nano" BASE=base FAIL_ON="accuracy:-0.5% latency_ms.p50:+5%" scripts/ci_example.sh
#
# Everything is a variable, and all may be left out:
#   RECIPE   name of a recipe or its folder                                             (digits)
#   TARGETS  by their full names                                                        (host)
#   BUILD    more arguments of 'edgeprune build'
#   DEVICES  where to profile what: "raspberry-pi-4=ssh://pi@kitchen nucleo-l4r5zi=emulator:microcontroller"; of other
#            targets the profile of the build counts. The base branch's bundle is measured in turn, so that a slow day of
#            the device is in both. An emulated Raspberry Pi is installed, where it is not there yet
#   BASE     folder with the bundles of the base branch; without it nothing is compared
#   FAIL_ON  limits of 'edgeprune compare'; without it the default ones hold
#   UNDECIDED  'pass' or 'fail': what a limit of FAIL_ON does that the measurements do not decide  (fail)
#   OUT      folder for bundles, comment.md and compare-*.xml                            (dist)
#   COMMENT  command that is given comment.md on its input
#   UPLOAD   command that is given the archives as arguments
#
# Ends with the highest exit code of all steps: 0 ship it, 4 do not, others are in 'edgeprune --help' of a command.
set -u
RECIPE=${RECIPE:-digits} TARGETS=${TARGETS:-host} OUT=${OUT:-dist} BASE=${BASE:-}
worst=0

step() { # runs a command, and remembers the worst exit code
    echo "+ $*" >&2
    code=0
    "$@" || code=$?
    if [ "$code" -gt "$worst" ]; then worst=$code; fi
    return "$code"
}

device_of() { # the device that DEVICES has for a target
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

# A missed budget (4) leaves the bundle there to be looked at, and a target that fails stops no other.
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
