// Package sdk calls the API with connect-go, the library below the Go SDK since 1.2 and the Terraform
// provider. The messages are built from the published descriptors (ROLLCALL_DESCRIPTORS), so that
// this module depends on the protocol alone.
package sdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

var (
	url            = os.Getenv("ROLLCALL_URL")
	token          = os.Getenv("ROLLCALL_TOKEN")
	organizationID = os.Getenv("ROLLCALL_ORGANIZATION_ID")

	scimToken = regexp.MustCompile(`^rcscim_[0-9a-f]{64}_[0-9A-Za-z]{49}$`)
	uuidV7    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

const (
	identity     = "gitpod.v1.IdentityService"
	organization = "gitpod.v1.OrganizationService"
	secretMark   = "must-never-come-back-"
	ninetyDays   = "7776000s"
)

// object is a message in its JSON form: the one way to write requests and to compare answers.
type object = map[string]any

// client speaks one protocol with one service and remembers the last HTTP exchange.
type client struct {
	t       *testing.T
	service string
	base    string
	token   string
	options []connect.ClientOption
	http    *http.Client

	sent     int
	request  *http.Request
	response *http.Response
}

func (c *client) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	c.sent, c.request, c.response = c.sent+1, request, response
	return response, err
}

func newClient(t *testing.T, options ...connect.ClientOption) *client {
	c := &client{t: t, service: organization, base: url + "/api", token: token, options: options}
	c.http = &http.Client{Transport: c, Timeout: 20 * time.Second}
	return c
}

// newGRPCClient speaks HTTP/2 without TLS.
func newGRPCClient(t *testing.T) *client {
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	c := newClient(t, connect.WithGRPC())
	c.http = &http.Client{Transport: &http.Transport{Protocols: &h2c}, Timeout: 20 * time.Second}
	return c
}

// of is the same client of another service.
func (c *client) of(service string) *client {
	other := *c
	other.service = service
	return &other
}

// as is the same client with another token.
func (c *client) as(token string) *client {
	other := *c
	other.token = token
	return &other
}

var descriptors = func() *protoregistry.Files {
	encoded, err := os.ReadFile(os.Getenv("ROLLCALL_DESCRIPTORS"))
	if err != nil {
		panic(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(encoded, &set); err != nil {
		panic(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		panic(err)
	}
	return files
}()

// rpc is a method, and the request to call it with.
func (c *client) rpc(service, method string, fields object) (
	*connect.Client[dynamicpb.Message, dynamicpb.Message], *connect.Request[dynamicpb.Message],
) {
	c.t.Helper()
	found, err := descriptors.FindDescriptorByName(protoreflect.FullName(service))
	c.must(err)
	schema := found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))

	options := append([]connect.ClientOption{
		connect.WithSchema(schema),
		connect.WithResponseInitializer(func(_ connect.Spec, message any) error {
			*message.(*dynamicpb.Message) = *dynamicpb.NewMessage(schema.Output())
			return nil
		}),
	}, c.options...)
	if schema.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() ==
		descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
		options = append(options, connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	}

	encoded, err := json.Marshal(with(fields, nil))
	c.must(err)
	message := dynamicpb.NewMessage(schema.Input())
	c.must(protojson.Unmarshal(encoded, message))
	request := connect.NewRequest(message)
	if c.token != "" {
		request.Header().Set("Authorization", "Bearer "+c.token)
	}
	procedure := c.base + "/" + service + "/" + method
	return connect.NewClient[dynamicpb.Message, dynamicpb.Message](c.http, procedure, options...), request
}

func (c *client) decode(message *dynamicpb.Message) object {
	c.t.Helper()
	answer, err := protojson.Marshal(message)
	c.must(err)
	if bytes.Contains(answer, []byte(secretMark)) {
		c.t.Errorf("a client secret is shown: %s", answer)
	}
	var decoded object
	c.must(json.Unmarshal(answer, &decoded))
	return decoded
}

func (c *client) try(service, method string, fields object) (object, error) {
	c.t.Helper()
	rpc, request := c.rpc(service, method, fields)
	response, err := rpc.CallUnary(context.Background(), request)
	if err != nil {
		return nil, err
	}
	return c.decode(response.Msg), nil
}

func (c *client) call(method string, fields object) object {
	c.t.Helper()
	answer, err := c.try(c.service, method, fields)
	c.must(err)
	return answer
}

func (c *client) refused(code connect.Code, method string, fields object) *connect.Error {
	c.t.Helper()
	_, err := c.try(c.service, method, fields)
	var refusal *connect.Error
	if !errors.As(err, &refusal) || refusal.Code() != code {
		c.t.Fatalf("%s: got %v, want the code %s", method, err, code)
	}
	return refusal
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) equal(got, want any) {
	c.t.Helper()
	if !reflect.DeepEqual(got, want) {
		c.t.Errorf("got  %v\nwant %v", got, want)
	}
}

func (c *client) inDays(moment any, days int) {
	c.t.Helper()
	at, err := time.Parse(time.RFC3339, moment.(string))
	c.must(err)
	if off := time.Until(at.AddDate(0, 0, -days)).Abs(); off > time.Minute {
		c.t.Errorf("%v is not %d days from now", at, days)
	}
}

// with is base and the changes; a nil removes a field.
func with(base, changes object) object {
	merged := object{}
	for _, fields := range []object{base, changes} {
		for name, value := range fields {
			if merged[name] = value; value == nil {
				delete(merged, name)
			}
		}
	}
	return merged
}

// ssoFields is every field of a CreateSSOConfigurationRequest, unlike that of any other test.
func ssoFields() object {
	name := strings.ToLower(rand.Text()[:12])
	return object{
		"organizationId":   organizationID,
		"clientId":         "client-" + name,
		"clientSecret":     secretMark + name,
		"issuerUrl":        "https://" + name + ".idp.example.com",
		"emailDomains":     []any{name + ".example.com", name + ".example.org"},
		"displayName":      "Example " + name,
		"additionalScopes": []any{"groups", "offline_access"},
		"claimsExpression": `claims.email_verified && claims.email.endsWith("@example.com")`,
	}
}

func (c *client) createSSO(changes object) object {
	c.t.Helper()
	sso := c.call("CreateSSOConfiguration", with(ssoFields(), changes))["ssoConfiguration"].(object)
	c.t.Cleanup(func() { c.try(organization, "DeleteSSOConfiguration", theSSO(sso)) })
	return sso
}

func (c *client) createSCIM(sso, changes object) (scim object, answer object) {
	c.t.Helper()
	fields := with(object{"organizationId": organizationID, "ssoConfigurationId": sso["id"]}, changes)
	answer = c.call("CreateSCIMConfiguration", fields)
	scim = answer["scimConfiguration"].(object)
	c.t.Cleanup(func() { c.try(organization, "DeleteSCIMConfiguration", theSCIM(scim)) })
	return scim, answer
}

func theSSO(sso object) object   { return object{"ssoConfigurationId": sso["id"]} }
func theSCIM(scim object) object { return object{"scimConfigurationId": scim["id"]} }

func (c *client) readSSO(sso object) any {
	c.t.Helper()
	return c.call("GetSSOConfiguration", theSSO(sso))["ssoConfiguration"]
}

func (c *client) readSCIM(scim object) any {
	c.t.Helper()
	return c.call("GetSCIMConfiguration", theSCIM(scim))["scimConfiguration"]
}

// pages is the items of all pages, in the order of the server.
func (c *client) pages(method, items string, pageSize int, fields object) []any {
	c.t.Helper()
	found, token := []any{}, any("")
	for range 50 {
		pagination := object{"pageSize": pageSize, "token": token}
		page := c.call(method, with(fields, object{"pagination": pagination}))
		if some, ok := page[items].([]any); ok {
			found = append(found, some...)
		}
		if next, ok := page["pagination"].(object); ok && next["nextToken"] != nil {
			token = next["nextToken"]
			continue
		}
		return found
	}
	c.t.Fatal("the list never ends")
	return nil
}

// list is the items of all pages, in the order of their ids.
func (c *client) list(method, items string, pageSize int, fields object) []any {
	c.t.Helper()
	found := c.pages(method, items, pageSize, fields)
	slices.SortFunc(found, func(a, b any) int {
		return strings.Compare(a.(object)["id"].(string), b.(object)["id"].(string))
	})
	return found
}

func (c *client) listSSO(pageSize int) []any {
	c.t.Helper()
	fields := object{"organizationId": organizationID}
	return c.list("ListSSOConfigurations", "ssoConfigurations", pageSize, fields)
}

func (c *client) listSCIM(pageSize int) []any {
	c.t.Helper()
	return c.list("ListSCIMConfigurations", "scimConfigurations", pageSize, nil)
}

func namesInViolations(refusal *connect.Error, field string) bool {
	return slices.ContainsFunc(refusal.Details(), func(detail *connect.ErrorDetail) bool {
		return detail.Type() == "buf.validate.Violations" && bytes.Contains(detail.Bytes(), []byte(field))
	})
}

func TestTheTokenBelongsToTheOrganization(t *testing.T) {
	c := newClient(t)
	answer, err := c.try(identity, "GetAuthenticatedIdentity", nil)
	c.must(err)
	c.equal(answer["organizationId"], organizationID)
	c.equal(uuidV7.MatchString(answer["subject"].(object)["id"].(string)), true)
}

// protocols are the protocols and encodings that clients use.
var protocols = map[string]func(*testing.T) *client{
	"Connect":             func(t *testing.T) *client { return newClient(t) },
	"Connect, JSON":       func(t *testing.T) *client { return newClient(t, connect.WithProtoJSON()) },
	"Connect, gzip":       func(t *testing.T) *client { return newClient(t, connect.WithSendGzip()) },
	"Connect, GET":        func(t *testing.T) *client { return newClient(t, connect.WithHTTPGet()) },
	"gRPC":                newGRPCClient,
	"gRPC-Web":            func(t *testing.T) *client { return newClient(t, connect.WithGRPCWeb()) },
	"gRPC without prefix": func(t *testing.T) *client { c := newGRPCClient(t); c.base = url; return c },
}

// The whole life of both kinds of configuration, over every protocol and encoding that clients use.
func TestTheWholeLife(t *testing.T) {
	for name, dial := range protocols {
		t.Run(name, func(t *testing.T) {
			c := dial(t)

			fields := ssoFields()
			sso := c.createSSO(fields)
			c.equal(uuidV7.MatchString(sso["id"].(string)), true)
			c.equal(sso, with(fields, object{
				"id":           sso["id"],
				"clientSecret": nil,
				"emailDomain":  fields["emailDomains"].([]any)[0],
				"state":        "SSO_CONFIGURATION_STATE_ACTIVE",
				"providerType": "PROVIDER_TYPE_CUSTOM",
			}))
			c.equal(c.readSSO(sso), sso)
			c.equal(c.listSSO(0), []any{sso})

			scim, created := c.createSCIM(sso, object{"name": "Example"})
			c.equal(scimToken.MatchString(created["token"].(string)), true)
			c.inDays(created["tokenExpiresAt"], 365)
			c.inDays(scim["createdAt"], 0)
			c.equal(scim, object{
				"id":                 scim["id"],
				"organizationId":     organizationID,
				"name":               "Example",
				"enabled":            true,
				"ssoConfigurationId": sso["id"],
				"createdAt":          scim["createdAt"],
				"updatedAt":          scim["updatedAt"],
				"tokenExpiresAt":     created["tokenExpiresAt"],
			})
			c.equal(c.readSCIM(scim), scim)
			c.equal(c.listSCIM(0), []any{scim})

			regenerated := c.call("RegenerateSCIMToken", theSCIM(scim))
			c.equal(regenerated["token"] == created["token"], false)
			c.inDays(regenerated["tokenExpiresAt"], 365)

			refusal := c.refused(connect.CodeFailedPrecondition, "DeleteSSOConfiguration", theSSO(sso))
			c.equal(strings.Contains(refusal.Message(), "Example") ||
				strings.Contains(refusal.Message(), scim["id"].(string)), true)

			c.equal(c.call("DeleteSCIMConfiguration", theSCIM(scim)), object{})
			c.equal(c.call("DeleteSSOConfiguration", theSSO(sso)), object{})
			c.refused(connect.CodeNotFound, "GetSCIMConfiguration", theSCIM(scim))
			c.refused(connect.CodeNotFound, "DeleteSCIMConfiguration", theSCIM(scim))
			c.refused(connect.CodeNotFound, "GetSSOConfiguration", theSSO(sso))
			c.refused(connect.CodeNotFound, "DeleteSSOConfiguration", theSSO(sso))

			refusal = c.refused(connect.CodeInvalidArgument, "CreateSSOConfiguration",
				with(ssoFields(), object{"clientId": nil}))
			c.equal(namesInViolations(refusal, "client_id"), true)

			c.token = "wrong"
			c.refused(connect.CodeUnauthenticated, "GetSSOConfiguration", theSSO(sso))
		})
	}
}

func TestReadsGoByGET(t *testing.T) {
	c := newClient(t, connect.WithHTTPGet())
	sso := c.createSSO(nil)
	c.equal(c.request.Method, "POST")
	c.equal(c.readSSO(sso), sso)
	c.equal(c.request.Method, "GET")
}

func TestAnUpdateLeavesAbsentFieldsAlone(t *testing.T) {
	c := newClient(t)
	sso := c.createSSO(nil)
	c.equal(c.call("UpdateSSOConfiguration", with(theSSO(sso), object{"displayName": "Renamed"})), object{})
	c.equal(c.readSSO(sso), with(sso, object{"displayName": "Renamed"}))
}

func TestAnUpdateReplacesAndClears(t *testing.T) {
	c := newClient(t)
	sso := c.createSSO(nil)
	c.call("UpdateSSOConfiguration", with(theSSO(sso), object{
		"claims": object{"email": "mail", "name": "display"},
	}))
	c.call("UpdateSSOConfiguration", with(theSSO(sso), object{
		"claims":           object{"name": "full_name"},
		"additionalScopes": object{"scopes": []any{}},
		"claimsExpression": "",
		"clientSecret":     secretMark + "rotated",
		"state":            "SSO_CONFIGURATION_STATE_INACTIVE",
	}))
	c.equal(c.readSSO(sso), with(sso, object{
		"claims":           object{"name": "full_name"},
		"additionalScopes": nil,
		"claimsExpression": nil,
		"state":            "SSO_CONFIGURATION_STATE_INACTIVE",
	}))
}

func TestASCIMConfigurationIsUpdatedFieldByField(t *testing.T) {
	c := newClient(t)
	other := c.createSSO(nil)
	scim, _ := c.createSCIM(c.createSSO(nil), nil)
	for _, change := range []struct{ given, want object }{
		{object{"name": "After"}, object{"name": "After"}},
		{object{"enabled": false}, object{"enabled": nil}},
		{theSSO(other), theSSO(other)},
	} {
		updated := c.call("UpdateSCIMConfiguration", with(theSCIM(scim), change.given))["scimConfiguration"].(object)
		c.equal(updated["updatedAt"] == scim["updatedAt"], false)
		scim = with(with(scim, change.want), object{"updatedAt": updated["updatedAt"]})
		c.equal(updated, scim)
		c.equal(c.readSCIM(scim), scim)
	}
}

func TestATokenLivesAsLongAsAsked(t *testing.T) {
	c := newClient(t)
	scim, created := c.createSCIM(c.createSSO(nil), object{"tokenExpiresIn": ninetyDays})
	c.inDays(created["tokenExpiresAt"], 90)
	c.inDays(c.call("RegenerateSCIMToken", theSCIM(scim))["tokenExpiresAt"], 90)
	month := with(theSCIM(scim), object{"tokenExpiresIn": "2592000s"})
	c.inDays(c.call("RegenerateSCIMToken", month)["tokenExpiresAt"], 30)
	second := with(theSCIM(scim), object{"tokenExpiresIn": "1s"})
	refusal := c.refused(connect.CodeInvalidArgument, "RegenerateSCIMToken", second)
	c.equal(namesInViolations(refusal, "token_expires_in"), true)
}

func TestRefusalsHaveTheirHTTPStatus(t *testing.T) {
	c := newClient(t)
	sso := c.createSSO(nil)
	c.createSCIM(sso, nil)
	taken := with(ssoFields(), object{"issuerUrl": sso["issuerUrl"], "clientId": sso["clientId"]})
	gone := object{"ssoConfigurationId": "01890a5d-ac96-774b-bcce-b302099a8057"}
	for _, refusal := range []struct {
		code   connect.Code
		method string
		fields object
		status int
	}{
		{connect.CodeInvalidArgument, "GetSSOConfiguration", nil, 400},
		{connect.CodeFailedPrecondition, "DeleteSSOConfiguration", theSSO(sso), 400},
		{connect.CodeNotFound, "GetSSOConfiguration", gone, 404},
		{connect.CodeAlreadyExists, "CreateSSOConfiguration", taken, 409},
		{connect.CodeUnimplemented, "GetCustomDomain", nil, 501},
	} {
		before := c.sent
		c.refused(refusal.code, refusal.method, refusal.fields)
		c.equal(c.response.StatusCode, refusal.status)
		c.equal(c.response.Header.Get("Content-Type"), "application/json")
		c.equal(c.sent, before+1)
	}

	c = newClient(t)
	c.token = ""
	c.refused(connect.CodeUnauthenticated, "GetSSOConfiguration", theSSO(sso))
	c.equal(c.response.StatusCode, 401)
	c.equal(strings.HasPrefix(c.response.Header.Get("WWW-Authenticate"), "Bearer"), true)
}

func TestAllPagesAreWalked(t *testing.T) {
	c := newClient(t)
	ssos, scims := []any{}, []any{}
	for range 3 {
		sso := c.createSSO(nil)
		scim, _ := c.createSCIM(sso, nil)
		ssos, scims = append(ssos, sso), append(scims, scim)
	}
	c.equal(c.listSSO(1), ssos)
	c.equal(c.listSCIM(1), scims)
}
