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

// Errorf drops messages that the SDK also returns as errors, because the caller logs those.
func (l leveled) Errorf(format string, args ...any) {
	l.log.Debug("stripe SDK", "message", fmt.Sprintf(format, args...))
}
