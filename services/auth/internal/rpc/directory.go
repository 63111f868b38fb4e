package rpc

import (
	"context"
	"strings"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
)

// GetUser reads one user.
func (s *Server) GetUser(ctx context.Context, req *authv1.GetUserRequest) (*authv1.GetUserResponse, error) {
	u, err := s.Directory.User(ctx, req.GetUserId())
	if err != nil {
		return nil, shown(err, "user")
	}
	m, err := userMessage(u)
	return &authv1.GetUserResponse{User: m}, err
}

// ListUsers pages through the users.
func (s *Server) ListUsers(ctx context.Context, req *authv1.ListUsersRequest) (*authv1.ListUsersResponse, error) {
	email := strings.ToLower(strings.TrimSpace(req.GetEmail()))
	list := page.List{Name: "users", Filters: []string{email}}
	users, next, err := paged(list, req, userMessage,
		func(after page.Cursor, limit int) ([]directory.User, error) {
			return s.Directory.Users(ctx, email, after, limit)
		},
		func(u directory.User) page.Cursor { return page.Cursor{Time: u.CreateTime, ID: u.ID} })
	if err != nil {
		return nil, shown(err, "user")
	}
	return &authv1.ListUsersResponse{Users: users, NextPageToken: next}, nil
}

// GetOrganization reads one organization.
func (s *Server) GetOrganization(ctx context.Context, req *authv1.GetOrganizationRequest) (*authv1.GetOrganizationResponse, error) {
	o, err := s.Directory.Organization(ctx, req.GetOrganizationId())
	if err != nil {
		return nil, shown(err, "organization")
	}
	m, err := organizationMessage(o)
	return &authv1.GetOrganizationResponse{Organization: m}, err
}

// ListOrganizations pages through the organizations.
func (s *Server) ListOrganizations(
	ctx context.Context, req *authv1.ListOrganizationsRequest,
) (*authv1.ListOrganizationsResponse, error) {
	organizations, next, err := paged(page.List{Name: "organizations"}, req, organizationMessage,
		func(after page.Cursor, limit int) ([]directory.Organization, error) {
			return s.Directory.Organizations(ctx, after, limit)
		},
		func(o directory.Organization) page.Cursor { return page.Cursor{Time: o.CreateTime, ID: o.ID} })
	if err != nil {
		return nil, shown(err, "organization")
	}
	return &authv1.ListOrganizationsResponse{Organizations: organizations, NextPageToken: next}, nil
}

// ListMemberships pages through the memberships.
func (s *Server) ListMemberships(
	ctx context.Context, req *authv1.ListMembershipsRequest,
) (*authv1.ListMembershipsResponse, error) {
	org, user := req.GetOrganizationId(), req.GetUserId()
	memberships, next, err := paged(page.List{Name: "memberships", Filters: []string{org, user}}, req, membershipMessage,
		func(after page.Cursor, limit int) ([]directory.Membership, error) {
			return s.Directory.Memberships(ctx, org, user, after, limit)
		},
		func(m directory.Membership) page.Cursor { return page.Cursor{ID: m.OrganizationID, Second: m.UserID} })
	if err != nil {
		return nil, shown(err, "membership")
	}
	return &authv1.ListMembershipsResponse{Memberships: memberships, NextPageToken: next}, nil
}

// pageRequest is what the requests of all lists have.
type pageRequest interface {
	GetPageSize() int32
	GetPageToken() string
}

// paged reads one page, and one object more to see whether another page follows.
func paged[T, M any](
	list page.List, req pageRequest, message func(T) (M, error),
	read func(page.Cursor, int) ([]T, error), cursor func(T) page.Cursor,
) (messages []M, next string, err error) {
	after, err := list.Cursor(req.GetPageToken())
	if err != nil {
		return nil, "", err
	}
	size := page.Size(req.GetPageSize())
	all, err := read(after, size+1)
	if err != nil {
		return nil, "", err
	}
	all, next = page.Cut(list, all, size, cursor)
	for _, one := range all {
		m, err := message(one)
		if err != nil {
			return nil, "", err
		}
		messages = append(messages, m)
	}
	return messages, next, nil
}
