package reqbody

import (
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// lingerFrom is the size of a body from which Linger matters, in bytes: net/http reads smaller rests by itself.
	lingerFrom = 256 << 10
	// lingerBytes and lingerTime limit what is read of a refused body.
	lingerBytes = 64 << 20
	lingerTime  = 5 * time.Second
)

// Linger lets a client that writes its whole body before it reads anything see a refusal: without it the connection is
// reset in the middle of the body, and the client reports a broken pipe. Call it before the response is written. The
// returned function sends the response, then reads and drops the rest of the body, within limits.
func Linger(w http.ResponseWriter, r *http.Request) (finish func()) {
	if r.ContentLength >= 0 && r.ContentLength <= lingerFrom || strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return func() {}
	}
	control := http.NewResponseController(w)
	if r.ProtoMajor < 2 && control.EnableFullDuplex() != nil {
		return func() {} // the recorder of a test
	}
	return func() {
		if control.Flush() != nil || control.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
			return
		}
		// The rest is of no use, and neither is an error of the client that sends it.
		_, _ = io.CopyN(io.Discard, r.Body, lingerBytes)
	}
}
