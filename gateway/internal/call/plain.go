package call

import (
	"context"

	"github.com/trivet-dev/trivet/platform/passport"
)

// Plain returns an RPC of the same process whose calls carry the caller's passport for a service, as Conn's do. A call whose
// passport is rejected for its times has sent nothing and is retried once with a new passport.
func Plain[Req, Res any](
	rpc func(ctx context.Context, token string, in *Req, send func(*Res) error) error, service string,
) func(context.Context, *Req, func(*Res) error) error {
	return func(ctx context.Context, in *Req, send func(*Res) error) error {
		token := tokenOf(ctx, service)
		From(ctx).Called.Store(true)
		sent := false
		err := rpc(ctx, token, in, func(m *Res) error { sent = true; return send(m) })
		if err == nil || sent || !passport.IsClockError(err) {
			return err
		}
		renewed, renewErr := renew(ctx, service, token)
		if renewErr != nil || renewed == "" {
			return firstOf(renewErr, err)
		}
		return rpc(ctx, renewed, in, send)
	}
}
