package serve

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"google.golang.org/grpc"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/credential"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// callTimeouts bound calls whose caller set no deadline, by service. A model that reasons takes minutes to answer.
var callTimeouts = map[string]time.Duration{"ai": 10 * time.Minute}

// Proofs are what a process verifies its callers by.
type Proofs struct {
	// Passports are the public keys of passports, newest first.
	Passports []ed25519.PublicKey
	// InternalSecrets prove which service is calling; there is at least one.
	InternalSecrets [][]byte
}

// Server is a process's gRPC server, with the exchanger that turns its callers' credentials into passports.
type Server struct {
	*grpcserver.Server
	// Credentials exchanges credentials with auth.
	Credentials *credential.Exchanger

	verifiers verifiers
}

// verifiers verify the callers of a server.
type verifiers struct {
	passports *passport.Verifier
	peers     *peer.Verifier
}

// NewServer builds the gRPC server of a process. auth connects to the auth service, which may be in the same process: it is
// called with the server, before any request is served.
func (h *Host) NewServer(proofs Proofs, auth func(*grpcserver.Server) (grpc.ClientConnInterface, error)) (*Server, error) {
	passports, err := passport.NewVerifier(proofs.Passports, h.Now)
	if err != nil {
		return nil, err
	}
	if len(proofs.InternalSecrets) == 0 {
		return nil, errors.New("a server needs an internal secret")
	}
	peers, err := peer.NewVerifier(proofs.InternalSecrets[0], h.Now, proofs.InternalSecrets[1:]...)
	if err != nil {
		return nil, err
	}
	exchanger := &lateExchanger{}
	server, err := grpcserver.New(grpcserver.Config{
		Logger:     h.Logger,
		Meter:      h.Meter("rpc"),
		Tracer:     h.Tracer,
		Passports:  passports,
		Peers:      peers,
		Exchanger:  exchanger,
		TLS:        h.mutual.Server(),
		Reflection: !h.Settings.Production(),
		Timeouts:   callTimeouts,
	})
	if err != nil {
		return nil, err
	}
	to, err := auth(server)
	if err != nil {
		return nil, err
	}
	if exchanger.Exchanger, err = credential.New(authv1.NewAuthServiceClient(to), credential.Options{Now: h.Now}); err != nil {
		return nil, err
	}
	return &Server{Server: server, Credentials: exchanger.Exchanger, verifiers: verifiers{passports, peers}}, nil
}

// Revocations is the part that forgets credentials as soon as auth revokes them.
func (s *Server) Revocations(h *Host) Part {
	return Part{Name: "revocations", Run: func(ctx context.Context) error {
		s.Credentials.Run(ctx, h.Logger)
		return nil
	}}
}

// lateExchanger breaks a cycle: the server needs the exchanger, which calls auth through a connection that may need the server.
type lateExchanger struct{ *credential.Exchanger }
