#!/bin/sh
# Comment on a GitHub pull request, or update the comment of an earlier run for the same recipe and targets.
#
#     GITHUB_REPOSITORY=owner/name PULL=12 RECIPE=recipes/mine TARGETS="raspberry-pi-4" scripts/ci_comment.sh comment.md
#
# The comment begins with a marker, an HTML comment that GitHub does not show. It depends on workflow, recipe and targets,
# so that several of them on one pull request keep a comment each. Only comments of the account that GH_TOKEN belongs to
# are updated, whatever others write. Needs gh (https://cli.github.com), which reads GH_TOKEN.
set -eu
file=$1
[ -s "$file" ] || exit 0

key=$(printf '%s\n' "${GITHUB_WORKFLOW:-}" "$RECIPE" "$TARGETS" | cksum | tr ' ' '-')
marker="<!-- edgeprune $key -->"
body=$(mktemp)
trap 'rm -f "$body"' EXIT
{ echo "$marker"; cat "$file"; } > "$body"

# shellcheck disable=SC2016 # the variables are GraphQL's
comments='query($owner: String!, $name: String!, $pull: Int!, $endCursor: String) {
  repository(owner: $owner, name: $name) { pullRequest(number: $pull) { comments(first: 100, after: $endCursor) {
    nodes { id viewerDidAuthor body } pageInfo { hasNextPage endCursor }
  } } }
}'
# shellcheck disable=SC2016
update='mutation($id: ID!, $body: String!) {
  updateIssueComment(input: {id: $id, body: $body}) { issueComment { url } }
}'

ids=$(gh api graphql --paginate -f query="$comments" \
    -f owner="${GITHUB_REPOSITORY%%/*}" -f name="${GITHUB_REPOSITORY#*/}" -F pull="$PULL" \
    --jq ".data.repository.pullRequest.comments.nodes[]
          | select(.viewerDidAuthor and (.body | startswith(\"$marker\"))) | .id")
id=$(printf '%s\n' "$ids" | head -n 1)
if [ -n "$id" ]; then
    gh api graphql --silent -f query="$update" -f id="$id" -F body=@"$body"
else
    gh api --silent --method POST "repos/$GITHUB_REPOSITORY/issues/$PULL/comments" -F body=@"$body"
fi
