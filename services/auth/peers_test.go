package auth_test

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// eraser is a service that is asked to erase people.
type eraser struct {
	mu     sync.Mutex
	asked  []string
	fails  error
	failed int
}

func (e *eraser) erase(userID string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fails != nil {
		e.failed++
		return e.fails
	}
	e.asked = append(e.asked, userID)
	return nil
}

// break makes the service fail or work again.
func (e *eraser) set(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fails = err
}

func (e *eraser) state() (asked []string, failed int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.asked...), e.failed
}

type aiFake struct {
	aiv1.AIServiceClient
	eraser
}

func (f *aiFake) EraseUser(_ context.Context, in *aiv1.EraseUserRequest, _ ...grpc.CallOption) (*aiv1.EraseUserResponse, error) {
	return &aiv1.EraseUserResponse{}, f.erase(in.GetUserId())
}

type billingFake struct {
	billingv1.BillingServiceClient
	eraser
	reports []*billingv1.SetMemberCountRequest
}

func (f *billingFake) SetMemberCount(_ context.Context, in *billingv1.SetMemberCountRequest, _ ...grpc.CallOption) (*billingv1.SetMemberCountResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return nil, f.fails
	}
	f.reports = append(f.reports, in)
	return &billingv1.SetMemberCountResponse{}, nil
}

// report is the newest of an organization.
func (f *billingFake) report(organizationID string) *billingv1.SetMemberCountRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	newest := &billingv1.SetMemberCountRequest{Members: -1}
	for _, r := range f.reports {
		if r.GetOrganizationId() == organizationID && r.GetSequence() > newest.GetSequence() {
			newest = r
		}
	}
	return newest
}

// members is how many an organization has by its newest report; -1 without one.
func (f *billingFake) members(organizationID string) int32 {
	return f.report(organizationID).GetMembers()
}

func (f *billingFake) deleted(organizationID string) bool {
	return f.report(organizationID).GetDeleted()
}

// ExportUser has two pages of one record.
func (f *billingFake) ExportUser(_ context.Context, in *billingv1.ExportUserRequest, _ ...grpc.CallOption) (*billingv1.ExportUserResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return nil, f.fails
	}
	if in.GetPageToken() == "" {
		return &billingv1.ExportUserResponse{UsageRecordsJson: `[{"id":"usage_1"}]`, NextPageToken: "second"}, nil
	}
	return &billingv1.ExportUserResponse{UsageRecordsJson: `[{"id":"usage_2"}]`}, nil
}

func (f *billingFake) EraseUser(_ context.Context, in *billingv1.EraseUserRequest, _ ...grpc.CallOption) (*billingv1.EraseUserResponse, error) {
	return &billingv1.EraseUserResponse{}, f.erase(in.GetUserId())
}
