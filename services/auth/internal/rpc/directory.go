package rpc

import (
	"context"
	"strings"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// GetUser reads one user.
func (s *Server) GetUser(ctx context.Context, req *authv1.GetUserRequest) (*authv1.GetUserResponse, error) {
	u, err := s.options.Directory.User(ctx, req.GetUserId())
	if err != nil {
		return nil, public(err, "user")
	}
	m, err := userMessage(u)
	return &authv1.GetUserResponse{User: m}, err
}

// ListUsers pages through the users.
func (s *Server) ListUsers(ctx context.Context, req *authv1.ListUsersRequest) (*authv1.ListUsersResponse, error) {
	email := strings.ToLower(strings.TrimSpace(req.GetEmail()))
	list := paging.List{Name: "users", Filters: []string{email}}
	users, next, err := paged(list, req, userMessage,
		func(after paging.Cursor, limit int) ([]directory.User, error) {
			return s.options.Directory.Users(ctx, email, after, limit)
		},
		func(u directory.User) paging.Cursor { return paging.Cursor{Time: u.CreateTime, ID: u.ID} })
	if err != nil {
		return nil, public(err, "user")
	}
	return &authv1.ListUsersResponse{Users: users, NextPageToken: next}, nil
}

// GetOrganization reads one organization.
func (s *Server) GetOrganization(ctx context.Context, req *authv1.GetOrganizationRequest) (*authv1.GetOrganizationResponse, error) {
	o, err := s.options.Directory.Organization(ctx, req.GetOrganizationId())
	if err != nil {
		return nil, public(err, "organization")
	}
	m, err := organizationMessage(o)
	return &authv1.GetOrganizationResponse{Organization: m}, err
}

// ListOrganizations pages through the organizations.
func (s *Server) ListOrganizations(
	ctx context.Context, req *authv1.ListOrganizationsRequest,
) (*authv1.ListOrganizationsResponse, error) {
	organizations, next, err := paged(paging.List{Name: "organizations"}, req, organizationMessage,
		func(after paging.Cursor, limit int) ([]directory.Organization, error) {
			return s.options.Directory.Organizations(ctx, after, limit)
		},
		func(o directory.Organization) paging.Cursor { return paging.Cursor{Time: o.CreateTime, ID: o.ID} })
	if err != nil {
		return nil, public(err, "organization")
	}
	return &authv1.ListOrganizationsResponse{Organizations: organizations, NextPageToken: next}, nil
}

// ListMemberships pages through the memberships that the caller may see.
func (s *Server) ListMemberships(
	ctx context.Context, req *authv1.ListMembershipsRequest,
) (*authv1.ListMembershipsResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	org, err := visibleOrganization(claims, req.GetOrganizationId())
	if err != nil {
		return nil, err
	}
	user := req.GetUserId()
	memberships, next, err := paged(paging.List{Name: "memberships", Filters: []string{org, user}}, req, membershipMessage,
		func(after paging.Cursor, limit int) ([]directory.Membership, error) {
			return s.options.Directory.Memberships(ctx, org, user, after, limit)
		},
		func(m directory.Membership) paging.Cursor {
			return paging.Cursor{ID: m.OrganizationID, Second: m.UserID}
		})
	if err != nil {
		return nil, public(err, "membership")
	}
	return &authv1.ListMembershipsResponse{Memberships: memberships, NextPageToken: next}, nil
}

// visibleOrganization limits callers other than operators to the members of the organization that they administrate.
func visibleOrganization(claims *passport.Claims, wanted string) (string, error) {
	switch {
	case claims.APIKeyID != "":
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "An API key may not list memberships. Sign in.")
	case claims.Operator:
		return wanted, nil
	case claims.OrganizationID == "" || !claims.Admin:
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "Only an admin of an organization may list its members.")
	case wanted != "" && wanted != claims.OrganizationID:
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "You may list the members of your active organization only.").
			Field("organizationId", "names another organization")
	default:
		return claims.OrganizationID, nil
	}
}

// pageRequest is what the requests of all lists have.
type pageRequest interface {
	GetPageSize() int32
	GetPageToken() string
}

// paged reads one page, and one object more to see whether another page follows.
func paged[T, M any](
	list paging.List, req pageRequest, message func(T) (M, error),
	read func(paging.Cursor, int) ([]T, error), cursor func(T) paging.Cursor,
) (messages []M, next string, err error) {
	after, err := list.Cursor(req.GetPageToken())
	if err != nil {
		return nil, "", err
	}
	size := paging.Size(req.GetPageSize())
	all, err := read(after, size+1)
	if err != nil {
		return nil, "", err
	}
	all, next = paging.Cut(list, all, size, cursor)
	for _, one := range all {
		m, err := message(one)
		if err != nil {
			return nil, "", err
		}
		messages = append(messages, m)
	}
	return messages, next, nil
}
