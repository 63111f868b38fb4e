package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// maxControl bounds the body of a control request, in bytes.
const maxControl = 1 << 20

func (s *Sandbox) control(mux *http.ServeMux) {
	mux.HandleFunc("POST /control/faults", s.addFault)
	mux.HandleFunc("GET /control/faults", s.listFaults)
	mux.HandleFunc("DELETE /control/faults", s.clearFaults)
	mux.HandleFunc("DELETE /control/faults/{id}", s.removeFault)
	mux.HandleFunc("POST /control/reset", s.reset)
	mux.HandleFunc("GET /control/environment", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Environment()) })
	mux.HandleFunc("POST /control/clerk/tokens", s.mintToken)
	mux.HandleFunc("POST /control/clerk/rotate", s.rotateKey)
	mux.HandleFunc("GET /control/openai/stats", s.openaiStats)
	mux.HandleFunc("DELETE /control/openai/stats", s.resetOpenAIStats)
	mux.HandleFunc("GET /control/openai/settings", s.openaiSettings)
	mux.HandleFunc("PATCH /control/openai/settings", s.changeOpenAISettings)
}

// read decodes a control request: exactly one JSON object, without unknown fields. It answers 400 and reports
// false when it cannot.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("the body has data after the JSON object")
		}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the body is empty; send a JSON object")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, problem(err))
		return false
	}
	return true
}

// problem describes a decoding error in terms of JSON instead of Go types.
func problem(err error) string {
	if shape, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		name := shape.Field
		if name == "" {
			name = "the body"
		}
		return fmt.Sprintf("%s must be %s, got %s", name, kindOf(shape.Type), shape.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// kindOf names the JSON form of a Go type.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a text"
	}
}

// reset forgets all state and faults; keys and settings stay.
func (s *Sandbox) reset(w http.ResponseWriter, _ *http.Request) {
	if err := errors.Join(s.clerk.Reset(), s.stripe.Reset()); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	s.openai.ResetStats()
	s.email.Reset()
	s.ResetCalls()
	for _, sender := range s.senders {
		sender.Reset()
	}
	for _, set := range s.faults() {
		set.Clear()
	}
	reply(w, http.StatusOK, map[string]bool{"reset": true})
}

// tokenRequest is what trivet token sends.
type tokenRequest struct {
	User            string   `json:"user"`
	Email           string   `json:"email"`
	Org             string   `json:"org"`
	Role            string   `json:"role"`
	TTL             string   `json:"ttl"` // a duration such as "90s" or "1h"
	Age             string   `json:"age"` // a duration: how long ago the token was issued
	AuthorizedParty string   `json:"azp"`
	Plan            string   `json:"plan"`
	Permissions     []string `json:"permissions"`
	Template        string   `json:"template"`
}

func (s *Sandbox) mintToken(w http.ResponseWriter, r *http.Request) {
	var in tokenRequest
	if !read(w, r, &in) {
		return
	}
	spec := clerk.TokenSpec{
		User: in.User, Email: in.Email, Org: in.Org, Role: in.Role, AuthorizedParty: in.AuthorizedParty, Plan: in.Plan,
		Permissions: in.Permissions, Template: in.Template,
	}
	if in.TTL != "" {
		ttl, err := time.ParseDuration(in.TTL)
		if err != nil || ttl <= 0 {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("ttl %q must be a positive duration such as 90s or 1h", in.TTL))
			return
		}
		spec.TTL = ttl
	}
	if in.Age != "" {
		age, err := time.ParseDuration(in.Age)
		if err != nil || age < 0 {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("age %q must be a duration such as 90s or 1h", in.Age))
			return
		}
		spec.Age = age
	}
	token, err := s.clerk.MintToken(r.Context(), spec)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]string{"token": token})
}

func (s *Sandbox) rotateKey(w http.ResponseWriter, r *http.Request) {
	var in struct {
		KeepID  bool `json:"keep_kid"`
		KeepOld bool `json:"keep_old"`
	}
	if !read(w, r, &in) {
		return
	}
	id, err := s.clerk.RotateKey(r.Context(), clerk.Rotation{KeepID: in.KeepID, KeepOld: in.KeepOld})
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]string{"kid": id})
}
