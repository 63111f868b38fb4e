// Package mailing sends notices as mails to the address that the account's customer has at Stripe. The address is read for each mail and not stored.
package mailing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/smtp"
)

// Source is the source of mails in the inbox.
const Source = "email"

const (
	workers = 2
	// timeout bounds an attempt, and stripeTime the part of it that asks Stripe.
	timeout    = 45 * time.Second
	stripeTime = 10 * time.Second
	// minAttempts is how often a mail is tried whatever its age, as after a redrive.
	minAttempts = 10
	// maxAttempts is beyond what the time for retries allows.
	maxAttempts = 100_000
	// greylisted is the least pause after a server that asks for a later attempt: most want several minutes.
	greylisted = time.Minute
)

// Store reads notices and the customers of accounts.
type Store interface {
	// Notice reads a notice, or ledger.ErrNotFound.
	Notice(ctx context.Context, id string) (notices.Notice, error)
	// Notices lists at most limit notices of an account with ids below one, newest first; "" begins with the newest.
	Notices(ctx context.Context, accountID string, kind notices.Kind, before string, limit int) ([]notices.Notice, error)
	// Customer reads the id of an account's customer; "" for none.
	Customer(ctx context.Context, accountID string) (string, error)
}

// Recipient is where an account's mails go.
type Recipient struct {
	// Address is "" for a customer without one, or a deleted customer.
	Address string
	// OptedOut is true for a customer that wants no mails.
	OptedOut bool
}

// Sender sends a mail. Errors: *smtp.Error, and those of the provider's transport.
type Sender interface {
	Send(ctx context.Context, m smtp.Mail) error
}

// Options holds the dependencies of a Mailer. All are required.
type Options struct {
	Inbox *inbox.Inbox
	Store Store
	// Recipient reads the address of a customer.
	Recipient func(ctx context.Context, customerID string) (Recipient, error)
	// Invoice reads the invoice of a notice that a payment failed.
	Invoice func(ctx context.Context, n notices.Notice) (Invoice, error)
	Sender  Sender
	// Letters writes the texts.
	Letters Letters
	// Kinds are the kinds that are sent.
	Kinds []notices.Kind
	// RetryTime is for how long a mail is tried.
	RetryTime time.Duration
	Now       func() time.Time
	Logger    *slog.Logger
}

// Mailer sends mails.
type Mailer struct{ Options }

// New makes a Mailer and sets it as the inbox's handler.
func New(o Options) (*Mailer, error) {
	m := &Mailer{o}
	return m, o.Inbox.Handle(Source, inbox.Handler{Handle: m.handle, Workers: workers, Lease: inbox.CallLease, Timeout: timeout, MaxAttempts: maxAttempts})
}

// Queue queues the mail of a notice, in the transaction that writes the notice. The row names the notice only.
func (m *Mailer) Queue(ctx context.Context, t database.Tx, n notices.Notice) error {
	if !slices.Contains(m.Kinds, n.Kind) {
		return nil
	}
	_, err := m.Inbox.PutTx(ctx, t, inbox.Event{Source: Source, ID: n.ID, Type: "billing." + string(n.Kind), Payload: []byte("{}")})
	return err
}

// handle makes an attempt.
func (m *Mailer) handle(ctx context.Context, job *inbox.Job) error {
	n, err := m.Store.Notice(ctx, job.ID)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil // its account was erased, or its time is over
	}
	if err != nil {
		return err
	}
	old, err := m.outdated(ctx, n)
	if err != nil {
		return err
	}
	if old {
		return m.skip(ctx, n, "outdated")
	}
	to, invoice, err := m.ask(ctx, n)
	switch {
	case err != nil:
		return m.judge(job, err)
	case to.OptedOut:
		return m.skip(ctx, n, "opted_out")
	case to.Address == "":
		return m.skip(ctx, n, "no_address")
	case invoice.Settled:
		return m.skip(ctx, n, "outdated")
	}
	letter, err := m.Letters.Write(n, invoice.PayURL)
	if err != nil {
		return inbox.Permanent(err)
	}
	err = m.Sender.Send(ctx, smtp.Mail{ID: n.ID, To: to.Address, Subject: letter.Subject, Text: letter.Text, HTML: letter.HTML, Date: n.CreateTime})
	if err != nil && ctx.Err() != nil {
		return err // the process stops: this attempt says nothing about the server
	}
	return m.judge(job, err)
}

// skip logs that a notice is not mailed. Its mail is done.
func (m *Mailer) skip(ctx context.Context, n notices.Notice, reason string) error {
	m.Logger.InfoContext(ctx, "a notice is not mailed", slog.String("notice", n.ID), slog.String("reason", reason))
	return nil
}

// ask reads at Stripe who gets the mail, and the invoice of a payment that failed. It has a time of its own, so that a Stripe that hangs leaves time to send.
func (m *Mailer) ask(ctx context.Context, n notices.Notice) (to Recipient, invoice Invoice, err error) {
	ctx, cancel := context.WithTimeout(ctx, stripeTime)
	defer cancel()
	customer, err := m.Store.Customer(ctx, n.AccountID)
	if err != nil || customer == "" {
		return Recipient{}, Invoice{}, err
	}
	if to, err = m.Recipient(ctx, customer); err != nil {
		return Recipient{}, Invoice{}, fmt.Errorf("read the customer's address: %w", err)
	}
	if to.Address == "" || to.OptedOut || n.Kind != notices.PaymentFailed {
		return to, Invoice{}, nil
	}
	if invoice, err = m.Invoice(ctx, n); err != nil {
		return Recipient{}, Invoice{}, fmt.Errorf("read the invoice: %w", err)
	}
	return to, invoice, nil
}

// judge decides what an attempt's error means: the mail is tried again until its time is over, except one that the server refuses.
func (m *Mailer) judge(job *inbox.Job, err error) error {
	if err == nil {
		return nil
	}
	refused, ok := errors.AsType[*smtp.Error](err)
	if ok && refused.Permanent || job.Attempts >= minAttempts && m.Now().Sub(job.PutTime) > m.RetryTime {
		return inbox.Permanent(err)
	}
	if ok && refused.Code > 0 {
		return inbox.RetryAfter(err, max(greylisted, growing(job.Attempts)))
	}
	if open, ok := errors.AsType[*provider.OpenError](err); ok {
		return inbox.RetryAfter(err, max(open.Wait, growing(job.Attempts)))
	}
	return err
}

// growing is the least pause after an attempt (from 1).
func growing(attempt int) time.Duration { return min(time.Second<<min(attempt-1, 12), time.Hour) }
