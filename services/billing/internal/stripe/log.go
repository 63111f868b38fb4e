package stripe

import (
	"fmt"
	"log/slog"
)

// leveled gives the SDK's warnings to slog. Its other lines repeat what the transport logs of each call.
type leveled struct{ log *slog.Logger }

func (leveled) Debugf(string, ...any) {}

func (leveled) Infof(string, ...any) {}

func (l leveled) Warnf(format string, args ...any) {
	l.log.Warn("stripe SDK", "message", fmt.Sprintf(format, args...))
}

// Errorf is the SDK's word for what it also returns as an error, and the caller logs that.
func (l leveled) Errorf(format string, args ...any) {
	l.log.Debug("stripe SDK", "message", fmt.Sprintf(format, args...))
}
