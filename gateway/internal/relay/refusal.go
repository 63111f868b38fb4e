package relay

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// maxRefusal is how many bytes of a refusal are kept.
const maxRefusal = 64 << 10

// refusal is a response that is not a stream, for a caller whose stream has already started.
type refusal struct {
	status int32
	text   []byte
}

func (r *refusal) add(b []byte) {
	r.text = append(r.text, b[:min(len(b), maxRefusal-len(r.text))]...)
}

// body returns the body of the error event: the provider's error when it is readable, else Trivet's.
func (r *refusal) body(ctx context.Context, state *call.State) []byte {
	e := state.Note(ctx, errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR,
		"The provider answered with status %d instead of a stream. Please try again.", r.status))
	var known struct {
		Error json.RawMessage `json:"error"`
	}
	var line bytes.Buffer
	if json.Unmarshal(r.text, &known) == nil && len(known.Error) > 0 && json.Compact(&line, r.text) == nil {
		return line.Bytes()
	}
	return errorbody.Body(errorbody.OpenAI, e, state.ID)
}
