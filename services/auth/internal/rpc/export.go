package rpc

import (
	"context"
	"encoding/json"
	"errors"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

// export is a person's data by service.
type export struct {
	UserID string     `json:"userId"`
	Auth   authExport `json:"auth"`
	// AI and Billing say what those services hold, and where it can be had.
	AI      elsewhere `json:"ai"`
	Billing elsewhere `json:"billing"`
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
	billingHolds = "by this user id, or by the organization's: the account, its ledger entries and usage records (model, tokens, time, amount), and at Stripe the customer, its invoices and payment methods; no messages"
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
	e := export{UserID: id, AI: elsewhere{aiHolds}, Billing: elsewhere{billingHolds}}
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
