// Package bearer reads the caller's credential from a request. It accepts exactly one Authorization header with the
// scheme Bearer and refuses every other form.
package bearer

import (
	"net/http"
	"net/url"
	"strings"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// MaxBytes is the maximum length of a credential.
const MaxBytes = 8 << 10

const (
	header = "authorization"
	scheme = "bearer "
)

// Credential returns the credential of a request. Errors: UNAUTHORIZED (missing), INVALID_TOKEN (malformed, repeated or
// with another scheme), INVALID_ARGUMENT (in the URL). Errors never quote the credential.
func Credential(r *http.Request) (string, error) {
	if name := inQuery(r.URL.RawQuery); name != "" {
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"A credential in the URL ends up in logs and histories. Revoke this credential, and send the new one in the header Authorization: Bearer <token>.").
			Field(name, "must not be in the URL")
	}
	values := r.Header["Authorization"]
	switch {
	case len(values) == 0:
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, "Unauthorized")
	case len(values) > 1:
		return "", invalid("must be sent once")
	}
	value := values[0]
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", invalid("must have the scheme Bearer")
	}
	token := strings.Trim(value[len(scheme):], " ")
	switch {
	case token == "":
		return "", invalid("has no token after Bearer")
	case len(token) > MaxBytes:
		return "", invalid("is longer than 8 KiB")
	case !isToken(token):
		return "", invalid("contains invalid characters")
	}
	return token, nil
}

func invalid(problem string) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token").Field(header, problem)
}

// isToken reports whether s has only the characters of RFC 6750's b64token.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/', c == '=':
		default:
			return false
		}
	}
	return true
}

// inQuery returns the name of the query parameter that carries a credential, or "".
func inQuery(raw string) string {
	if raw == "" {
		return ""
	}
	for pair := range strings.FieldsFuncSeq(raw, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		switch strings.ToLower(name) {
		case "token", "access_token", "api_key", "apikey", "authorization":
			return strings.ToLower(name)
		}
	}
	return ""
}
