package typed

import (
	"context"
	"encoding/json"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// CountTokens counts the input of a conversation without calling the model. Its error is an *errs.Error.
func (c *Client) CountTokens(ctx context.Context, claims *passport.Claims, in *aiv1.CountTokensRequest) (*aiv1.CountTokensResponse, error) {
	req, err := promptRequest(in)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(req)
	if err != nil {
		return nil, (&exchange{}).failure(err)
	}
	count, err := c.invoker.CountInput(ctx, claims, wire.Chat, numbers{}.complete(body))
	if err != nil {
		return nil, ownFields(errs.From(err))
	}
	return &aiv1.CountTokensResponse{InputTokens: saturate.Int32(count.Tokens), Exact: count.Exact, CostNanoUsd: count.Cost}, nil
}
