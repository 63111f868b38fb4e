package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Program describes a process of split mode.
type Program struct {
	// Name is the service's, such as "auth".
	Name string
	// Config points to the struct of the settings that only this program has.
	Config any
	// Needs are the services that it calls.
	Needs []string
	// Migrations are those of its store; nil when it has none.
	Migrations func() []database.Migrations
}

// Process is one process of split mode.
type Process struct {
	*Host
	name   string
	trust  Trust
	prover *peer.Prover
	conns  map[string]*connect.Conn
	get    func(name string) string
	files  *FileStates
	modes  []string
	added  []Part

	issuer  *passport.Issuer // nil but in auth's process
	trusted *verifiers       // nil until the process has a server
}

// NewProcess reads every setting of a program, reports all mistakes at once, and connects to the services that it needs.
func NewProcess(ctx context.Context, program Program, env settings.Env, stderr io.Writer) (*Process, error) {
	var common struct {
		Settings  Settings
		Trust     Trust
		Addresses Addresses
		StandIn   StandIn
	}
	get, standIns, err := withStandIn(WithDefaults(env.Get))
	if err != nil {
		return nil, err
	}
	modes := Modes(get, settings.Split, settings.Serve)
	files, err := ReadFileStates(get, &common, program.Config)
	if err != nil {
		return nil, err
	}
	err = settings.Join(settings.Load(get, &common, modes...), settings.Load(get, program.Config, modes...), common.Addresses.missing(program), RefuseDevFile(env.Get))
	if err != nil {
		return nil, err
	}
	host, err := NewHost(program.Name, common.Settings, stderr)
	if err != nil {
		return nil, err
	}
	if err := host.Announce(ctx, env, &common, program.Config); err != nil {
		return nil, err
	}
	host.announceStandIns(ctx, program, standIns)
	prover, err := peer.NewProver(program.Name, []byte(common.Trust.InternalSecret.Newest().Reveal()), host.Now)
	if err != nil {
		return nil, err
	}
	p := &Process{Host: host, name: program.Name, trust: common.Trust, prover: prover, get: get, files: files, modes: modes, conns: map[string]*connect.Conn{}}
	for name, at := range common.Addresses.all() {
		if !slices.Contains(program.Needs, name) {
			continue
		}
		if p.conns[name], err = connect.Dial(at.address, prover, host.mutual.Client(name)); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", at.setting, err), p.Close())
		}
		p.conns[name].LogTo(host.Logger)
	}
	return p, nil
}

// Conn returns the connection to a service that the program needs.
func (p *Process) Conn(name string) *connect.Conn { return p.conns[name] }

// Secrets reads a setting that holds keys and whose name a file gives.
func (p *Process) Secrets(name string) (settings.Secrets, error) {
	return p.files.Secrets(name)
}

// Add adds a part to those that the process runs.
func (p *Process) Add(part Part) { p.added = append(p.added, part) }

// Close ends the connections to the other services.
func (p *Process) Close() error {
	var found []error
	for _, conn := range p.conns {
		if conn != nil {
			found = append(found, conn.Close())
		}
	}
	return errors.Join(found...)
}

// server makes the process's gRPC server. auth exchanges credentials by itself, the others ask it.
func (p *Process) server() (*Server, error) {
	keys, err := p.trust.Keys()
	if err != nil {
		return nil, err
	}
	server, err := p.NewServer(Proofs{Passports: keys, InternalSecrets: p.trust.secrets()}, func(server *grpcserver.Server) (grpc.ClientConnInterface, error) {
		if conn := p.conns["auth"]; conn != nil {
			return conn, nil
		}
		return connect.InProcess(server.InProcess(), p.prover), nil
	})
	if err != nil {
		return nil, err
	}
	p.trusted = &server.verifiers
	return server, nil
}

// Main runs a program until it is told to stop, and exits with status 1 when it failed. A second signal ends it at once.
func Main(name string, run func(ctx context.Context, args []string, env settings.Env, stderr io.Writer) error) {
	ctx, stop := Signals()
	err := run(WithHangups(ctx), os.Args[1:], settings.Environment(), os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Signals returns a context that ends at the first signal to stop. The second one ends the process at once.
func Signals() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
