package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

// export is a person's data by service.
type export struct {
	UserID string     `json:"userId"`
	Auth   authExport `json:"auth"`
	// AI says what that service stores.
	AI      elsewhere     `json:"ai"`
	Billing billingExport `json:"billing"`
}

// billingExport is what billing stores: the records that name the person, and a sentence on what names only the account.
type billingExport struct {
	UsageRecords []json.RawMessage `json:"usageRecords"`
	Holds        string            `json:"holds"`
}

// UsageExporter gives the usage records that name a person; billing's client is one.
type UsageExporter interface {
	ExportUser(ctx context.Context, in *billingv1.ExportUserRequest, opts ...grpc.CallOption) (*billingv1.ExportUserResponse, error)
}

// exportUsage reads all usage records of a person from billing.
func (s *Server) exportUsage(ctx context.Context, id string) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	if s.options.Usage == nil {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "The user's usage records cannot be read: this process has no connection to billing.")
	}
	for token := ""; ; {
		page, err := s.options.Usage.ExportUser(ctx, &billingv1.ExportUserRequest{UserId: id, PageToken: token})
		if err != nil {
			return nil, noUsage(err)
		}
		var records []json.RawMessage
		if err := json.Unmarshal([]byte(page.GetUsageRecordsJson()), &records); err != nil {
			return nil, fmt.Errorf("billing's usage records: %w", err)
		}
		all = append(all, records...)
		if token = page.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// noUsage names the part of the export that is missing when billing does not answer. An export without it would look complete.
func noUsage(err error) error {
	e := errs.From(err)
	//exhaustive:ignore
	switch e.Reason {
	case errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Nothing was exported: billing stores the user's usage records and does not answer. Try again when billing is up.").
			After(max(e.RetryAfter, time.Second)).Cause(err)
	}
	return err
}

type authExport struct {
	User        json.RawMessage   `json:"user"`
	Memberships []json.RawMessage `json:"memberships"`
	APIKeys     []json.RawMessage `json:"apiKeys"`
	Events      []json.RawMessage `json:"events"`
}

type elsewhere struct {
	Holds string `json:"holds"`
}

const (
	aiHolds      = "no personal data: messages and answers are relayed and not stored"
	billingHolds = "also, by the id of the account, which is the user's or the organization's: the account and its ledger entries, and at Stripe the customer, its invoices and payment methods; no messages"
	exported     = 500 // memberships per page, and the events at most
)

// UserKeys finds what a person made.
type UserKeys interface {
	// KeysOfUser are all keys that a person made, in any account, newest first, revoked ones included.
	KeysOfUser(ctx context.Context, userID string) ([]apikey.Key, error)
}

// ExportUser gives a person's data as JSON.
func (s *Server) ExportUser(ctx context.Context, req *authv1.ExportUserRequest) (*authv1.ExportUserResponse, error) {
	id := req.GetUserId()
	u, err := s.options.Directory.User(ctx, id)
	if err != nil {
		return nil, public(err, "user")
	}
	e := export{UserID: id, AI: elsewhere{aiHolds}}
	if e.Billing.UsageRecords, err = s.exportUsage(ctx, id); err != nil {
		return nil, err
	}
	e.Billing.Holds = billingHolds
	m, err := userMessage(u)
	if err != nil {
		return nil, err
	}
	if e.Auth.User, err = jsonOf(m); err != nil {
		return nil, err
	}
	err = errors.Join(s.exportMemberships(ctx, id, &e.Auth), s.exportKeys(ctx, id, &e.Auth), s.exportEvents(ctx, id, &e.Auth))
	if err != nil {
		return nil, public(err, "user")
	}
	raw, err := json.Marshal(e)
	return &authv1.ExportUserResponse{Json: string(raw)}, err
}

func (s *Server) exportMemberships(ctx context.Context, id string, into *authExport) error {
	into.Memberships = []json.RawMessage{}
	for after := (paging.Cursor{}); ; {
		list, err := s.options.Directory.Memberships(ctx, "", id, after, exported)
		if err != nil {
			return err
		}
		messages, err := jsonOfEach(list, membershipMessage)
		if err != nil {
			return err
		}
		into.Memberships = append(into.Memberships, messages...)
		if len(list) < exported {
			return nil
		}
		after = paging.Cursor{ID: list[len(list)-1].OrganizationID, Second: id}
	}
}

func (s *Server) exportKeys(ctx context.Context, id string, into *authExport) error {
	keys, err := s.options.UserKeys.KeysOfUser(ctx, id)
	if err != nil {
		return err
	}
	into.APIKeys, err = jsonOfEach(keys, keyMessage)
	return err
}

func jsonOf(m proto.Message) (json.RawMessage, error) {
	return protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
}

func jsonOfEach[T any, M proto.Message](list []T, message func(T) (M, error)) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, 0, len(list))
	for _, one := range list {
		m, err := message(one)
		if err != nil {
			return nil, err
		}
		raw, err := jsonOf(m)
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
	}
	return out, nil
}
