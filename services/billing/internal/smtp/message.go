package smtp

import (
	"errors"
	"net/mail"
	"strings"

	sdk "github.com/wneessen/go-mail"
)

// auth signs in with the strongest mechanism that the server offers. The library sends no password in the clear without encryption.
func (c *Client) auth() []sdk.Option {
	how := sdk.WithSMTPAuth(sdk.SMTPAuthAutoDiscover)
	if c.TLS == Implicit { // the library does not know that the connection is encrypted from its start
		how = sdk.WithOpportunisticSMTPAuth(sdk.SMTPAuthPlain, sdk.SMTPAuthLogin)
	}
	return []sdk.Option{how, sdk.WithUsername(c.Username), sdk.WithPassword(c.Password.Newest().Reveal())}
}

// message makes the message. Errors do not show the recipient.
func (c *Client) message(m Mail) (*sdk.Msg, error) {
	to, err := mail.ParseAddress(m.To)
	if err != nil || strings.ContainsAny(m.To, "\r\n") {
		return nil, errors.New("it is not a mail address")
	}
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return nil, err
	}
	out := sdk.NewMsg()
	out.FromMailAddress(from)
	out.ToMailAddress(&mail.Address{Address: to.Address})
	out.Subject(m.Subject)
	_, domain, _ := strings.Cut(from.Address, "@")
	out.SetMessageIDWithValue(m.ID + "@" + domain)
	out.SetDateWithValue(m.Date)
	out.SetGenHeader("Auto-Submitted", "auto-generated")
	if c.ReplyTo != "" {
		reply, err := mail.ParseAddress(c.ReplyTo)
		if err != nil {
			return nil, err
		}
		out.ReplyToMailAddress(reply)
		out.SetListUnsubscribe("mailto:" + reply.Address + "?subject=unsubscribe")
	}
	out.SetBodyString(sdk.TypeTextPlain, m.Text)
	out.AddAlternativeString(sdk.TypeTextHTML, m.HTML)
	return out, nil
}
