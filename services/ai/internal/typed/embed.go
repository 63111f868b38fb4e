package typed

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	goopenai "github.com/sashabaranov/go-openai"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// Embed turns texts into vectors. Its error is an *errs.Error.
func (c *Client) Embed(ctx context.Context, claims *passport.Claims, in *aiv1.EmbedRequest) (*aiv1.EmbedResponse, error) {
	headers, err := headersOf(ctx)
	if err != nil {
		return nil, c.refuse(ctx, claims, in, err)
	}
	x := &exchange{client: c, claims: claims, endpoint: wire.Embeddings, headers: headers, own: true}
	_, err = call(ctx, x, func(ctx context.Context, api *goopenai.Client) (goopenai.EmbeddingResponse, error) {
		return api.CreateEmbeddings(ctx, goopenai.EmbeddingRequest{
			Input: in.GetInput(), Model: goopenai.EmbeddingModel(in.GetModel()), Dimensions: int(in.GetDimensions()),
			// A third of the bytes, and no number to parse.
			EncodingFormat: goopenai.EmbeddingEncodingFormatBase64,
		})
	})
	if err != nil && !x.invoked {
		return nil, c.refuse(ctx, claims, in, err)
	}
	if err != nil {
		return nil, err
	}
	out := &aiv1.EmbedResponse{Embeddings: make([]*aiv1.Embedding, len(in.GetInput())), Usage: x.receipt.Usage.Proto(), CostNanoUsd: x.receipt.Cost}
	if err := readVectors(out, x.answered()); err != nil {
		return nil, x.failure(err)
	}
	return out, nil
}

// vectors is the answer of a provider. Some send no index, and some send numbers although base64 was asked for.
type vectors struct {
	Model json.RawMessage `json:"model"`
	Data  []struct {
		Index     *json.Number    `json:"index"`
		Embedding json.RawMessage `json:"embedding"`
	} `json:"data"`
}

// readVectors reads an answer into out, which has a place for each text.
func readVectors(out *aiv1.EmbedResponse, body []byte) error {
	var all vectors
	if err := json.Unmarshal(body, &all); err != nil {
		return fmt.Errorf("read the vectors: %w", err)
	}
	_ = json.Unmarshal(all.Model, &out.Model) // a name that is not a text is left out
	for at, v := range all.Data {
		if v.Index != nil {
			n, err := v.Index.Float64()
			if err != nil || n != math.Trunc(n) {
				return unordered()
			}
			at = int(max(min(n, math.MaxInt32), -1))
		}
		if at < 0 || at >= len(out.GetEmbeddings()) || out.GetEmbeddings()[at] != nil {
			return unordered()
		}
		values, err := readVector(v.Embedding)
		if err != nil {
			return fmt.Errorf("read a vector: %w", err)
		}
		out.Embeddings[at] = &aiv1.Embedding{Values: values}
	}
	if len(all.Data) != len(out.GetEmbeddings()) {
		return unordered()
	}
	return nil
}

// readVector reads a list of numbers, or the base64 of 32-bit numbers, the least significant byte first.
func readVector(raw json.RawMessage) (values []float32, err error) {
	if string(raw) == "null" {
		return nil, errors.New("it is null")
	}
	if len(raw) == 0 || raw[0] != '"' {
		err = json.Unmarshal(raw, &values)
		return values, err //nolint:wrapcheck // the caller says what it is
	}
	var packed []byte
	if err := json.Unmarshal(raw, &packed); err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it is
	}
	if len(packed)%4 != 0 {
		return nil, fmt.Errorf("%d bytes are not a number of 32-bit numbers", len(packed))
	}
	values = make([]float32, len(packed)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(packed[4*i:]))
	}
	return values, nil
}

func unordered() error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer does not have exactly one vector for each text.")
}
