package provider

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
)

// unreadableError is the error of an answer that is not HTTP. Go's text about it repeats a part of the answer, which may repeat the request:
// it is kept out of logs, and the cause is kept for those who compare errors.
type unreadableError struct{ cause error }

func (*unreadableError) Error() string { return "the answer is not valid HTTP" }

func (e *unreadableError) Unwrap() error { return e.cause }

// withoutAnswer replaces an error whose text repeats what the provider sent. Go quotes such a part, or calls it malformed.
func withoutAnswer(err error) error {
	text := err.Error()
	if !strings.Contains(text, `"`) && !strings.Contains(text, "malformed") {
		return err
	}
	if _, network := errors.AsType[*net.OpError](err); network {
		return err
	}
	if _, certificate := errors.AsType[*tls.CertificateVerificationError](err); certificate {
		return err
	}
	return &unreadableError{err}
}
