package stripe

import (
	"fmt"
	"log/slog"
)

// leveled passes the SDK's warnings to slog. The transport already logs each call, so other lines are dropped.
type leveled struct{ log *slog.Logger }

func (leveled) Debugf(string, ...any) {}

func (leveled) Infof(string, ...any) {}

func (l leveled) Warnf(format string, args ...any) {
	l.log.Warn("stripe SDK", "message", fmt.Sprintf(format, args...))
}

// Errorf drops what the SDK also returns as an error: the caller logs that. The SDK's text has parts of Stripe's answers, such as e-mail
// addresses.
func (leveled) Errorf(string, ...any) {}
