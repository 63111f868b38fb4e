package typed

import (
	"context"

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
	x := &exchange{client: c, claims: claims, endpoint: wire.Embeddings, headers: headers}
	res, err := call(ctx, x, func(ctx context.Context, api *goopenai.Client) (goopenai.EmbeddingResponse, error) {
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
	out := &aiv1.EmbedResponse{
		Model: string(res.Model), Embeddings: make([]*aiv1.Embedding, len(in.GetInput())), Usage: x.receipt.Usage.Proto(), CostNanoUsd: x.receipt.Cost,
	}
	for _, e := range res.Data {
		if e.Index < 0 || e.Index >= len(out.Embeddings) || out.Embeddings[e.Index] != nil {
			return nil, unordered()
		}
		out.Embeddings[e.Index] = &aiv1.Embedding{Values: e.Embedding}
	}
	if len(res.Data) != len(out.Embeddings) {
		return nil, unordered()
	}
	return out, nil
}

func unordered() error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer does not have exactly one vector for each text.")
}
