package connect

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/platform/peer"
)

// movingStream is a stream with one request. A server accepts a stream before it does anything else. So a replica that does not
// accept it, or whose connection breaks before that, can be left for another one: nothing has happened yet.
type movingStream struct {
	grpc.ClientStream
	conn   *Conn
	ctx    context.Context //nolint:containedctx // the caller's, as gRPC's streams have it
	desc   *grpc.StreamDesc
	method string
	opts   []grpc.CallOption

	attempt  *attempt
	attempts int
	timer    *time.Timer
	cancel   context.CancelFunc
	request  any
	accepted bool
}

// open begins a stream with one request.
func (c *Conn) open(ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	s := &movingStream{conn: c, ctx: ctx, desc: desc, method: method, opts: opts}
	if err := s.begin(); err != nil {
		return nil, err
	}
	return s, nil
}

// begin opens the stream on the next replica.
func (s *movingStream) begin() error {
	for {
		s.conn.awaitConnected(s.ctx)
		s.attempts++
		s.attempt = &attempt{stream: true}
		var own context.Context
		own, s.timer, s.cancel = s.attempt.begin(s.conn.outgoing(s.ctx), acceptTime)
		if s.attempts == maxAttempts {
			s.timer.Stop()
		}
		stream, err := s.conn.inner.NewStream(own, s.desc, s.method, s.opts...)
		if err == nil {
			s.ClientStream = stream
			return nil
		}
		s.end()
		if !s.movesOn(err) {
			return err
		}
	}
}

func (s *movingStream) movesOn(err error) bool {
	return s.attempts < maxAttempts && s.attempt.movesOn(s.ctx, err)
}

// end frees what the attempt holds.
func (s *movingStream) end() {
	s.timer.Stop()
	s.cancel()
}

// SendMsg implements grpc.ClientStream.
func (s *movingStream) SendMsg(message any) error {
	s.request = message
	return s.ClientStream.SendMsg(message)
}

// RecvMsg implements grpc.ClientStream.
func (s *movingStream) RecvMsg(message any) error {
	for {
		s.accept()
		err := s.ClientStream.RecvMsg(message)
		if err == nil {
			return nil
		}
		s.end()
		if s.accepted || !s.movesOn(err) {
			return err
		}
		if err := s.restart(); err != nil {
			return err
		}
	}
}

// accept waits until the replica has accepted the stream, or the attempt has ended.
func (s *movingStream) accept() {
	if s.accepted {
		return
	}
	header, err := s.Header()
	s.timer.Stop()
	if err != nil || header == nil {
		return // RecvMsg says why
	}
	s.accepted, s.request = true, nil
	if p := s.attempt.picked.Load(); p != nil {
		p.replica.suspectUntil.Store(0)
		if len(header.Get(peer.AcceptedHeader)) > 0 {
			p.replica.accepts.Store(true)
		}
	}
}

// restart sends the request to another replica.
func (s *movingStream) restart() error {
	if err := s.begin(); err != nil {
		return err
	}
	err := s.ClientStream.SendMsg(s.request)
	if err == nil {
		err = s.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // of a stream that has ended, RecvMsg says why
		s.end()
		return err
	}
	return nil
}
