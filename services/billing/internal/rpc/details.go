package rpc

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func fromPricing(p *billingv1.CallPricing) *ledger.Pricing {
	if p == nil {
		return nil
	}
	return &ledger.Pricing{Input: p.GetInputNanoUsdPerMillionTokens(), Output: p.GetOutputNanoUsdPerMillionTokens(), Fixed: p.GetFixedNanoUsd()}
}

// writeDetails is "images=2,service_tier=flex": the fields that are set, in the order of their numbers.
func writeDetails(d *usagev1.UsageDetails) string {
	if d == nil || proto.Size(d) == 0 {
		return ""
	}
	var parts []string
	m := d.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); m.Has(f) {
			parts = append(parts, string(f.Name())+"="+m.Get(f).String())
		}
	}
	return strings.Join(parts, ",")
}

// readDetails reads what writeDetails wrote; nil for nothing. A field that this version does not know is left out.
func readDetails(text string) *usagev1.UsageDetails {
	if text == "" {
		return nil
	}
	d := &usagev1.UsageDetails{}
	m := d.ProtoReflect()
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		f := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		switch {
		case f == nil:
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(value))
		default:
			if n, err := strconv.ParseInt(value, 10, 32); err == nil {
				m.Set(f, protoreflect.ValueOfInt32(int32(n)))
			}
		}
	}
	return d
}
