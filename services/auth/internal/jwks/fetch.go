package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxDocument is the largest JWKS document read, in bytes.
const maxDocument = 256 << 10

// Endpoint is where Clerk's Backend API serves the keys.
type Endpoint struct {
	// Client sends the requests.
	Client *http.Client
	// URL is the whole address, such as "https://api.clerk.com/v1/jwks".
	URL string
	// SecretKeys are tried newest first: during a rotation one of them may be refused.
	SecretKeys []string
}

// Fetch returns the JWKS document. Its errors hold no secret.
func (e Endpoint) Fetch(ctx context.Context) ([]byte, error) {
	err := errors.New("CLERK_SECRET_KEY is not set")
	for _, secret := range e.SecretKeys {
		var document []byte
		var refused bool
		if document, refused, err = e.fetch(ctx, secret); !refused {
			return document, err
		}
	}
	return nil, err
}

func (e Endpoint) fetch(ctx context.Context, secret string) (document []byte, refused bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL, http.NoBody)
	if err != nil {
		return nil, false, fmt.Errorf("CLERK_API_URL: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	response, err := e.Client.Do(request)
	if err != nil {
		return nil, false, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, true, fmt.Errorf("the answer of Clerk is %d: it rejects CLERK_SECRET_KEY", response.StatusCode)
	default:
		return nil, false, fmt.Errorf("the answer of Clerk is %d", response.StatusCode)
	}
	document, err = io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err == nil && len(document) > maxDocument {
		err = fmt.Errorf("the JWKS document is larger than %d bytes", maxDocument)
	}
	return document, false, err
}
