#!/bin/sh
# Does with curl what the examples of the TypeScript client do: call a model and know what it cost, stream an answer and
# stop it, read the usage and handle an error by its reason.
#
#   TRIVET_URL=http://127.0.0.1:8080 TRIVET_TOKEN=… clients/curl/examples.sh
set -eu
# The token goes in by standard input, so that no list of processes shows it.
call() {
  printf 'header = "Authorization: Bearer %s"\n' "$TRIVET_TOKEN" | curl --silent --show-error --config - "$@"
}
hello='{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say hello."}]}'

echo "# Call a model, and know what it cost (costNanoUsd: 1000000000 is one dollar)"
call "$TRIVET_URL/api/v1/chat" --json "$hello"
echo

echo "# Stream an answer: server-sent events; the last one has the finish reason and the cost"
call --no-buffer "$TRIVET_URL/api/v1/chat:stream" --json "$hello"

echo "# Stop it: leaving ends the call, and what the model produced until then is billed"
call --no-buffer "$TRIVET_URL/api/v1/chat:stream" --json "$hello" 2>/dev/null | head -n 1
echo "stopped"

echo "# Read the usage"
call "$TRIVET_URL/api/v1/billing/usage?pageSize=10"
echo

echo "# Handle an error by its code, which docs/errors.md lists; the text is for people"
call "$TRIVET_URL/api/v1/chat" --json '{"model":"gpt-99","messages":[{"role":"user","content":"Hi"}]}'
echo
