package serve

import (
	"log"
	"log/slog"

	"go.opentelemetry.io/otel"
)

// libraryLines takes what libraries write to Go's standard logger. net/http writes the beginning of an answer that nobody asked for, so the text
// stays out of the log.
type libraryLines struct{ logger *slog.Logger }

func (l libraryLines) Write(p []byte) (int, error) {
	l.logger.Warn("a library wrote a line to the standard log; the text is left out because it may repeat data of a call", slog.Int("bytes", len(p)))
	return len(p), nil
}

// captureLibraries logs what libraries would write to standard error, until restore.
func (h *Host) captureLibraries() (restore func()) {
	writer, flags, handler := log.Writer(), log.Flags(), otel.GetErrorHandler()
	log.SetFlags(0)
	log.SetOutput(libraryLines{h.Logger})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		h.Logger.Warn("some metrics or traces could not be collected", slog.Any("error", err))
	}))
	return func() {
		otel.SetErrorHandler(handler)
		log.SetFlags(flags)
		log.SetOutput(writer)
	}
}
