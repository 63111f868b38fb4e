package clerk

import "encoding/json"

// User is Clerk's user object, with the fields that the sandbox keeps. Times are milliseconds since 1970.
type User struct {
	ID                            string          `json:"id"`
	Object                        string          `json:"object"`
	Username                      *string         `json:"username"`
	FirstName                     *string         `json:"first_name"`
	LastName                      *string         `json:"last_name"`
	Locale                        *string         `json:"locale"`
	Timezone                      *string         `json:"timezone"`
	ImageURL                      string          `json:"image_url"`
	HasImage                      bool            `json:"has_image"`
	PrimaryEmailAddressID         *string         `json:"primary_email_address_id"`
	PrimaryPhoneNumberID          *string         `json:"primary_phone_number_id"`
	PrimaryWeb3WalletID           *string         `json:"primary_web3_wallet_id"`
	PasswordEnabled               bool            `json:"password_enabled"`
	TwoFactorEnabled              bool            `json:"two_factor_enabled"`
	TOTPEnabled                   bool            `json:"totp_enabled"`
	BackupCodeEnabled             bool            `json:"backup_code_enabled"`
	EmailAddresses                []EmailAddress  `json:"email_addresses"`
	PhoneNumbers                  []struct{}      `json:"phone_numbers"`
	Web3Wallets                   []struct{}      `json:"web3_wallets"`
	Passkeys                      []struct{}      `json:"passkeys"`
	ExternalAccounts              []struct{}      `json:"external_accounts"`
	SAMLAccounts                  []struct{}      `json:"saml_accounts"`
	EnterpriseAccounts            []struct{}      `json:"enterprise_accounts"`
	OrganizationMemberships       []Membership    `json:"organization_memberships"` // null in the Backend API
	PasswordLastUpdatedAt         *int64          `json:"password_last_updated_at"`
	PublicMetadata                json.RawMessage `json:"public_metadata"`
	PrivateMetadata               json.RawMessage `json:"private_metadata"`
	UnsafeMetadata                json.RawMessage `json:"unsafe_metadata"`
	ExternalID                    *string         `json:"external_id"`
	LastSignInAt                  *int64          `json:"last_sign_in_at"`
	LastActiveAt                  *int64          `json:"last_active_at"`
	Banned                        bool            `json:"banned"`
	Locked                        bool            `json:"locked"`
	Deprovisioned                 bool            `json:"deprovisioned"`
	LockoutExpiresInSeconds       *int64          `json:"lockout_expires_in_seconds"`
	VerificationAttemptsRemaining *int64          `json:"verification_attempts_remaining"`
	DeleteSelfEnabled             bool            `json:"delete_self_enabled"`
	CreateOrganizationEnabled     bool            `json:"create_organization_enabled"`
	CreateOrganizationsLimit      *int64          `json:"create_organizations_limit"`
	LegalAcceptedAt               *int64          `json:"legal_accepted_at"`
	CreatedAt                     int64           `json:"created_at"`
	UpdatedAt                     int64           `json:"updated_at"`
}

// EmailAddress is one of a user's e-mail addresses.
type EmailAddress struct {
	ID                   string       `json:"id"`
	Object               string       `json:"object"`
	EmailAddress         string       `json:"email_address"`
	Reserved             bool         `json:"reserved"`
	Verification         Verification `json:"verification"`
	LinkedTo             []struct{}   `json:"linked_to"`
	MatchesSSOConnection bool         `json:"matches_sso_connection"`
	CreatedAt            int64        `json:"created_at"`
	UpdatedAt            int64        `json:"updated_at"`
}

// Verification is the state of an e-mail address.
type Verification struct {
	Object   string `json:"object"`
	Status   string `json:"status"`
	Strategy string `json:"strategy"`
	Attempts *int64 `json:"attempts"`
	ExpireAt *int64 `json:"expire_at"`
}

// Organization is Clerk's organization object.
type Organization struct {
	ID                      string          `json:"id"`
	Object                  string          `json:"object"`
	Name                    string          `json:"name"`
	Slug                    string          `json:"slug"`
	ImageURL                string          `json:"image_url"`
	HasImage                bool            `json:"has_image"`
	MembersCount            *int64          `json:"members_count,omitempty"`
	PendingInvitationsCount *int64          `json:"pending_invitations_count,omitempty"`
	MaxAllowedMemberships   int64           `json:"max_allowed_memberships"`
	AdminDeleteEnabled      bool            `json:"admin_delete_enabled"`
	PublicMetadata          json.RawMessage `json:"public_metadata"`
	PrivateMetadata         json.RawMessage `json:"private_metadata"`
	CreatedBy               string          `json:"created_by,omitempty"`
	CreatedAt               int64           `json:"created_at"`
	UpdatedAt               int64           `json:"updated_at"`
}

// Membership is a user's place in an organization.
type Membership struct {
	ID              string          `json:"id"`
	Object          string          `json:"object"`
	Role            string          `json:"role"`
	RoleName        string          `json:"role_name"`
	Permissions     []string        `json:"permissions"`
	PublicMetadata  json.RawMessage `json:"public_metadata"`
	PrivateMetadata json.RawMessage `json:"private_metadata"`
	Organization    *Organization   `json:"organization"`
	PublicUserData  *PublicUserData `json:"public_user_data,omitempty"`
	CreatedAt       int64           `json:"created_at"`
	UpdatedAt       int64           `json:"updated_at"`

	// Where the membership belongs, as stored; an answer shows the objects instead.
	OrganizationID string `json:"organization_id,omitempty"`
	UserID         string `json:"user_id,omitempty"`
}

// PublicUserData is what a membership shows of its user.
type PublicUserData struct {
	UserID     string  `json:"user_id"`
	FirstName  *string `json:"first_name"`
	LastName   *string `json:"last_name"`
	ImageURL   string  `json:"image_url"`
	HasImage   bool    `json:"has_image"`
	Identifier string  `json:"identifier"`
	Username   *string `json:"username"`
}

// Session is one signed-in browser of a user.
type Session struct {
	ID                       string  `json:"id"`
	Object                   string  `json:"object"`
	ClientID                 string  `json:"client_id"`
	UserID                   string  `json:"user_id"`
	Status                   string  `json:"status"`
	LastActiveOrganizationID *string `json:"last_active_organization_id,omitempty"`
	LastActiveAt             int64   `json:"last_active_at"`
	ExpireAt                 int64   `json:"expire_at"`
	AbandonAt                int64   `json:"abandon_at"`
	CreatedAt                int64   `json:"created_at"`
	UpdatedAt                int64   `json:"updated_at"`
}

// deleted is the answer to a deletion.
type deleted struct {
	ID         string  `json:"id"`
	Object     string  `json:"object"`
	Slug       string  `json:"slug,omitempty"`
	ExternalID *string `json:"external_id,omitempty"`
	Deleted    bool    `json:"deleted"`
}

// page is a list with the number of all that match.
type page[T any] struct {
	Data       []T   `json:"data"`
	TotalCount int64 `json:"total_count"`
}

func emptyObject() json.RawMessage { return json.RawMessage(`{}`) }
