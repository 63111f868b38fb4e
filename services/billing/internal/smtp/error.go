package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"syscall"

	sdk "github.com/wneessen/go-mail"

	"github.com/trivet-dev/trivet/platform/provider"
)

// Error is a mail that was not sent, or a server that cannot be used. Its text has no address and nothing of the server's text, which often repeats
// addresses.
type Error struct {
	// Stage is where it failed: "address", "connect", "mail" (the sender), "rcpt" (the recipient), or "data" (the text).
	Stage string
	// Code is the server's reply; 0 when none came.
	Code int
	// Permanent says that the server refuses this recipient or this text for good. A refusal of the sender or of the client is not permanent, because
	// it concerns every mail until an operator has corrected its cause.
	Permanent bool
	// Single says that the server refuses this recipient, perhaps for a time, and as far as is known no other one: it refused fewer than three
	// recipients since it last accepted one.
	Single bool
	// Unknown says that the server may have taken the mail.
	Unknown bool
	// doubtful says that the reply to the recipient may concern the sender or the client instead.
	doubtful bool
	cause    error
}

// Error says what happened.
func (e *Error) Error() string {
	at := map[string]string{
		"address": "the recipient's address", "connect": "the connection", "mail": "the sender", "rcpt": "the recipient", "data": "the mail's text",
	}[e.Stage]
	switch {
	case e.Code > 0:
		return fmt.Sprintf("the mail server answered %d to %s", e.Code, at)
	case e.Unknown:
		return fmt.Sprintf("the mail server did not say whether it took the mail: %v", e.cause)
	default:
		return fmt.Sprintf("%s failed: %v", at, e.cause)
	}
}

// Unwrap returns what went wrong.
func (e *Error) Unwrap() error { return e.cause }

// answers reports whether the server works, although it did not take this mail.
func (e *Error) answers() bool {
	return e.Code > 0 && e.Stage != "connect" && (e.Permanent || e.Single || e.Code < 500 && e.Code != 421)
}

// reply is what the transport counts; nil without a reply.
func (e *Error) reply() *provider.Reply {
	switch {
	case e.Single, e.Permanent && (e.Code > 0 || e.Stage == "address"):
		return &provider.Reply{Code: e.Code, Verdict: provider.Refused}
	case e.Code == 0:
		return nil
	case e.answers():
		return &provider.Reply{Code: e.Code, Verdict: provider.Limited}
	default:
		return &provider.Reply{Code: e.Code, Verdict: provider.Broken}
	}
}

// explain turns an error of the library into one that may be shown.
func explain(ctx context.Context, err error) *Error {
	out := &Error{Stage: "connect", cause: reason(ctx, err)}
	send, ok := errors.AsType[*sdk.SendError](err)
	if !ok {
		if reply, ok := errors.AsType[*textproto.Error](err); ok {
			out.Code = reply.Code
		}
		return out
	}
	out.Code = send.ErrorCode()
	switch send.Reason {
	case sdk.ErrSMTPRcptTo:
		out.Stage = "rcpt"
	case sdk.ErrSMTPData, sdk.ErrWriteContent, sdk.ErrSMTPDataClose:
		out.Stage = "data"
		out.Unknown = send.Reason == sdk.ErrSMTPDataClose && out.Code == 0
	default:
		out.Stage = "mail"
	}
	status := enhanced(send)
	out.Permanent = permanent(out.Stage, out.Code, status)
	out.doubtful = !out.Permanent && doubtful(out.Stage, out.Code, status)
	return out
}

// reason says why without any text of the library or of the server.
func reason(ctx context.Context, err error) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(ctx.Err(), known) || errors.Is(err, known) {
			return known
		}
	}
	if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
		return context.DeadlineExceeded
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New("the server's name cannot be resolved")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("the server's certificate is not valid")
	}
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return no
	}
	switch text := err.Error(); {
	case strings.Contains(text, "STARTTLS"):
		return errors.New("the server does not offer STARTTLS")
	case strings.Contains(text, "AUTH"), strings.Contains(text, "auth"):
		return errors.New("the server does not accept a user name and password, or not with this method")
	}
	return errors.New("the server did not answer by SMTP, or closed the connection")
}
