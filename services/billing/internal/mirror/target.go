package mirror

import (
	"errors"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/platform/plain"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
)

// ErrNoID says that an object's id is unusable: a request with it would go to another path, or it cannot be printed.
var ErrNoID = errors.New(`mirror: an object's id must be 1 to 255 bytes, without control characters and without "." or ".." as a part of a path`)

// charge is a type that is not stored. Its events announce refunds and disputes: at API version 2023-10-16 an endpoint may get
// no other events about a refund.
const charge = "charge" // not a Kind, because it is not stored

// Target is an object, or the objects of a charge, that an event is about.
type Target struct {
	Kind Kind
	// ID is the id of the object; empty for all objects of the kind that a charge has.
	ID string
	// Charge is the id of the charge; empty for a single object.
	Charge string
}

// Targets returns the targets of an event's object: the object itself when its kind is stored, and the refunds and disputes of
// a charge. It returns none for other kinds. Errors: ErrNoID.
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

// maxID limits ids, in bytes. Stripe's own ids are far shorter.
const maxID = 255

// ValidID reports whether an object with that id can be fetched and shown. Stripe makes most ids, but the creator of a product or
// a plan may choose one, even with slashes and question marks. These are escaped in the path of a request. "." and ".." cannot be
// escaped, and a server that unescapes slashes must not see them as parts of the path.
func ValidID(id string) bool {
	for part := range strings.FieldsFuncSeq(id, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == "." || part == ".." {
			return false
		}
	}
	return id != "" && len(id) <= maxID && plain.Printable(id)
}

// kindOf returns the kind of the object in events of a type, or "" when the type does not say.
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

// resource returns the type of an event without the verb.
func resource(eventType string) string {
	at := strings.LastIndexByte(eventType, '.')
	return eventType[:max(at, 0)]
}
