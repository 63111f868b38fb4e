package connect

import (
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// repeatable are the calls between services whose effect happens once, however often they are made: an id in the request names it.
var repeatable = map[string]bool{ //nolint:gochecknoglobals // never changes
	authv1.AuthService_Authenticate_FullMethodName:          true,
	authv1.AuthService_GetStatus_FullMethodName:             true,
	authv1.AuthService_ReceiveWebhook_FullMethodName:        true, // the event's id
	aiv1.AIService_GetStatus_FullMethodName:                 true,
	billingv1.BillingService_Reserve_FullMethodName:         true, // the call's id
	billingv1.BillingService_Checkpoint_FullMethodName:      true, // the hold's id
	billingv1.BillingService_Settle_FullMethodName:          true, // the hold's id
	billingv1.BillingService_GetEntitlements_FullMethodName: true,
	billingv1.BillingService_RecordRequests_FullMethodName:  true, // the batch's id
	billingv1.BillingService_SetMemberCount_FullMethodName:  true, // the report's number
	billingv1.BillingService_GetStatus_FullMethodName:       true,
	billingv1.BillingService_ReceiveWebhook_FullMethodName:  true, // the event's id
}

// isSlow reports whether a read may well take longer than a replica is given: it asks Stripe, or reads all that a person has.
func isSlow(method string) bool {
	switch method {
	case authv1.AuthService_ExportUser_FullMethodName,
		billingv1.BillingService_GetCheckoutSession_FullMethodName,
		billingv1.BillingService_ListInvoices_FullMethodName:
		return true
	}
	return false
}

// reads remembers which methods are GET at the edge, by name.
var reads sync.Map //nolint:gochecknoglobals // bounded by the methods that this program calls

// patienceOf is how long a call waits for one replica, or 0 when the call must not be repeated.
func patienceOf(method string) time.Duration {
	if repeatable[method] {
		return attemptTime
	}
	read, known := reads.Load(method)
	if !known {
		read = isRead(method) && !isSlow(method)
		reads.Store(method, read)
	}
	if read == true {
		return readTime
	}
	return 0
}

// isRead reports whether a method is a GET at the edge.
func isRead(method string) bool {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return false
	}
	rule, ok := proto.GetExtension(found.Options(), annotations.E_Http).(*annotations.HttpRule)
	return ok && rule.GetGet() != ""
}
