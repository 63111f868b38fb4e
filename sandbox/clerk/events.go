package clerk

import (
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
	"github.com/trivet-dev/trivet/sandbox/internal/quiet"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// origin is the request that a change comes from; the zero value is a change by the program itself.
type origin struct {
	ip, agent string
	quiet     bool
}

// begin locks the instance for a request that may change it. Events name the request as their origin until the returned
// function unlocks.
func (f *Fake) begin(r *http.Request) (end func()) {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	f.mu.Lock()
	f.origin = origin{ip: ip, agent: r.UserAgent(), quiet: quiet.Is(r.Context())}
	return func() {
		f.origin = origin{}
		f.mu.Unlock()
	}
}

// envelope is what all of Clerk's events have in common.
type envelope struct {
	Data            json.RawMessage `json:"data"`
	EventAttributes attributes      `json:"event_attributes"`
	InstanceID      string          `json:"instance_id"`
	Object          string          `json:"object"`
	Timestamp       int64           `json:"timestamp"`
	Type            string          `json:"type"`
}

type attributes struct {
	HTTPRequest struct {
		ClientIP  string `json:"client_ip"`
		UserAgent string `json:"user_agent"`
	} `json:"http_request"`
}

// emit sends the event of a change. The lock is held, so that events leave in the order of the changes.
func (f *Fake) emit(kind, subject string, data any) {
	if f.cfg.Emit == nil || f.origin.quiet {
		return
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return // the objects of this package always marshal
	}
	f.cfg.Emit(f.event(kind, subject, raw, f.cfg.InstanceID))
}

func (f *Fake) event(kind, subject string, data json.RawMessage, instance string) webhook.Event {
	var a attributes
	a.HTTPRequest.ClientIP, a.HTTPRequest.UserAgent = cmp.Or(f.origin.ip, "0.0.0.0"), f.origin.agent
	body, err := json.Marshal(envelope{Data: data, EventAttributes: a, InstanceID: instance, Object: "event", Timestamp: f.nowMs(), Type: kind})
	if err != nil {
		body = data // data is not JSON, so neither is the event
	}
	return webhook.Event{ID: f.eventIDs.Next("msg_", 27), Type: kind, Subject: subject, Body: body}
}

// MakeEvent returns an event of any type with any data, which no change caused. An empty instance means this one.
func (f *Fake) MakeEvent(kind, subject string, data json.RawMessage, instance string) webhook.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.event(kind, subject, data, cmp.Or(instance, f.cfg.InstanceID))
}

// sessionData is a session as events show it.
type sessionData struct {
	Session
	Actor *struct{} `json:"actor"`
	User  *User     `json:"user"`
}

func (f *Fake) emitSession(kind string, s Session) {
	data := sessionData{Session: s}
	if u, ok := f.users.Get(s.UserID); ok {
		data.User = &u
	}
	f.emit("session."+kind, s.ID, data)
}

func (f *Fake) emitMembership(kind string, m Membership) {
	f.emit("organizationMembership."+kind, m.ID, f.membershipView(m))
}

// email is a message that Clerk has sent.
type email struct {
	ID               string    `json:"id"`
	Object           string    `json:"object"`
	Slug             string    `json:"slug"`
	FromEmailName    string    `json:"from_email_name"`
	ReplyToEmailName *string   `json:"reply_to_email_name"`
	ToEmailAddress   string    `json:"to_email_address"`
	EmailAddressID   *string   `json:"email_address_id"`
	UserID           string    `json:"user_id"`
	Subject          string    `json:"subject"`
	Body             string    `json:"body"`
	BodyPlain        string    `json:"body_plain"`
	Status           string    `json:"status"`
	Data             emailData `json:"data"`
	DeliveredByClerk bool      `json:"delivered_by_clerk"`
}

type emailData struct {
	OTPCode       string `json:"otp_code"`
	RequestedAt   string `json:"requested_at"`
	RequestedFrom string `json:"requested_from"`
}

// emitCode sends the event of the e-mail with a code, and returns the code. Receivers must not store it: a real one is a
// secret. The code follows from what it is for.
func (f *Fake) emitCode(user, to, purpose string) string {
	code := digits(ident.Derive(6, "code", purpose))
	if to == "" {
		return code
	}
	e := email{
		ID: "ema_" + ident.Derive(27, "email", purpose), Object: "email", Slug: "verification_code", FromEmailName: "noreply", ToEmailAddress: to,
		UserID: user, Subject: code + " is your verification code",
		Body: "<p>Your verification code is <b>" + code + "</b></p>", BodyPlain: "Your verification code is " + code, Status: "queued",
		Data:             emailData{OTPCode: code, RequestedAt: f.cfg.Now().UTC().Format("02 January 2006, 15:04 UTC"), RequestedFrom: f.Issuer()},
		DeliveredByClerk: true,
	}
	if u, ok := f.users.Get(user); ok {
		for _, address := range u.EmailAddresses {
			if strings.EqualFold(address.EmailAddress, to) {
				e.EmailAddressID = &address.ID
			}
		}
	}
	f.emit("email.created", cmp.Or(user, to), e)
	return code
}

func digits(text string) string {
	out := []byte(text)
	for i, c := range out {
		out[i] = '0' + c%10
	}
	return string(out)
}
