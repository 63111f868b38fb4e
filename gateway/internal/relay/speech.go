package relay

import (
	"encoding/base64"
	"net/http"
	"strings"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

const (
	speechBegin, speechEnd = `data: {"type":"speech.audio.delta","audio":"`, "\"}\n\n"
	// speechDone ends a stream of sound.
	speechDone = "data: {\"type\":\"speech.audio.done\"}\n\n"
)

// isSound reports whether a head begins sound that is not a stream of events.
func isSound(head *aiv1.RelayHead) bool {
	kind := head.GetHeaders()["content-type"]
	return head.GetStatus() == http.StatusOK && (strings.HasPrefix(strings.ToLower(kind), "audio/") || kind == "application/octet-stream")
}

// speak writes raw sound as an event, for a caller whose stream started before the provider sent sound in place of events.
func (a *answer) speak(sound []byte) error {
	if len(sound) == 0 {
		return nil
	}
	event := make([]byte, 0, len(speechBegin)+base64.StdEncoding.EncodedLen(len(sound))+len(speechEnd))
	event = base64.StdEncoding.AppendEncode(append(event, speechBegin...), sound)
	_, err := a.out.Write(append(event, speechEnd...))
	return err
}
