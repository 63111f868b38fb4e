package rpc

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

func userMessage(u directory.User) (*authv1.User, error) {
	metadata, err := structMessage(u.PublicMetadata)
	if err != nil {
		return nil, fmt.Errorf("public metadata of user %s: %w", u.ID, err)
	}
	return &authv1.User{
		Id: u.ID, PrimaryEmail: u.PrimaryEmail, Emails: u.Emails, FirstName: u.FirstName, LastName: u.LastName,
		ImageUrl: u.ImageURL, ExternalId: u.ExternalID, PublicMetadata: metadata, Banned: u.Banned, Locked: u.Locked,
		Deprovisioned: u.Deprovisioned, Verified: u.Verified,
		CreateTime: timestampMessage(u.CreateTime), UpdateTime: timestampMessage(u.UpdateTime),
	}, nil
}

func organizationMessage(o directory.Organization) (*authv1.Organization, error) {
	metadata, err := structMessage(o.PublicMetadata)
	if err != nil {
		return nil, fmt.Errorf("public metadata of organization %s: %w", o.ID, err)
	}
	return &authv1.Organization{
		Id: o.ID, Name: o.Name, Slug: o.Slug, ImageUrl: o.ImageURL, PublicMetadata: metadata,
		CreateTime: timestampMessage(o.CreateTime), UpdateTime: timestampMessage(o.UpdateTime),
	}, nil
}

func membershipMessage(m directory.Membership) (*authv1.Membership, error) {
	return &authv1.Membership{
		OrganizationId: m.OrganizationID, UserId: m.UserID, Role: m.Role, Permissions: m.Permissions,
		CreateTime: timestampMessage(m.CreateTime),
	}, nil
}

func structMessage(raw json.RawMessage) (*structpb.Struct, error) {
	if len(raw) == 0 {
		return nil, nil //nolint:nilnil // unset
	}
	return structpb.NewStruct(directory.MetadataValues(raw)) // older versions may have stored anything
}

// timestampMessage leaves the zero time unset.
func timestampMessage(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
