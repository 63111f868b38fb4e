package mirror

import (
	"errors"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/services/billing/internal/intake"
	"github.com/trivet-dev/trivet/services/billing/internal/plain"
)

// ErrNoID says that an object's id can't be used: with it a request would lead elsewhere, or it can't be printed.
var ErrNoID = errors.New(`mirror: an object's id must be 1 to 255 bytes, without control characters and without "." or ".." as a part of a path`)

// charge is the type of an object that is not kept. Its events tell of its refunds and disputes: at API version 2023-10-16 an
// endpoint may get no others of a refund.
const charge = "charge" // no Kind, as it is not kept

// Target is what an event is about.
type Target struct {
	Kind Kind
	// ID is the object's; empty for all that a charge has of the kind.
	ID string
	// Charge is the charge's id; empty for one object.
	Charge string
}

// Targets are what an event's object stands for: itself when its kind is kept, and of a charge its refunds and disputes. They
// are empty for kinds that are not kept. Errors: ErrNoID.
func Targets(o intake.Object) ([]Target, error) {
	if o.ID == "" || o.Kind != charge && !Known(Kind(o.Kind)) {
		return nil, nil
	}
	if !ValidID(o.ID) {
		return nil, ErrNoID
	}
	if o.Kind != charge {
		return []Target{{Kind: Kind(o.Kind), ID: o.ID}}, nil
	}
	var targets []Target
	for _, of := range []Kind{Refund, Dispute} {
		if !slices.Contains(o.Without, string(of)) {
			targets = append(targets, Target{Kind: of, Charge: o.ID})
		}
	}
	return targets, nil
}

// maxID bounds ids, in bytes; Stripe's own are far shorter.
const maxID = 255

// ValidID tells whether an object with that id can be fetched and shown. Stripe makes most ids, but whoever makes a product or a plan may
// choose one, with slashes and question marks too: they are escaped in the path of a request. "." and ".." can't be, nor should a server
// that unescapes a slash see them as a part of the path.
func ValidID(id string) bool {
	for part := range strings.FieldsFuncSeq(id, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == "." || part == ".." {
			return false
		}
	}
	return id != "" && len(id) <= maxID && plain.Printable(id)
}

// kindOf is the kind of the object in events of a type; empty when the type does not tell.
func kindOf(eventType string) Kind {
	switch resource(eventType) {
	case "customer":
		return Customer
	case "customer.subscription":
		return Subscription
	case "charge.refund":
		return Refund
	case "charge.dispute":
		return Dispute
	default:
		return Kind(resource(eventType))
	}
}

// resource is a type of events without what happened.
func resource(eventType string) string {
	at := strings.LastIndexByte(eventType, '.')
	return eventType[:max(at, 0)]
}
