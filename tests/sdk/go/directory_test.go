package sdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
)

// The directory: members, groups, roles, service accounts, tokens, events.

const (
	accountService  = "gitpod.v1.AccountService"
	events          = "gitpod.v1.EventService"
	groups          = "gitpod.v1.GroupService"
	serviceAccounts = "gitpod.v1.ServiceAccountService"
	users           = "gitpod.v1.UserService"

	someID    = "01890a5d-ac96-774b-bcce-b302099a8057"
	ofUsers   = "urn:ietf:params:scim:schemas:core:2.0:User"
	ofGroups  = "urn:ietf:params:scim:schemas:core:2.0:Group"
	active    = "USER_STATUS_ACTIVE"
	suspended = "USER_STATUS_SUSPENDED"
	isAdmin   = "ORGANIZATION_ROLE_ADMIN"
	isMember  = "ORGANIZATION_ROLE_MEMBER"
	thisKind  = "RESOURCE_TYPE_ORGANIZATION"
	groupKind = "RESOURCE_TYPE_GROUP"
	robotKind = "RESOURCE_TYPE_SERVICE_ACCOUNT"
)

var (
	thisOrganization = object{"organizationId": organizationID}
	asUser           = "PRINCIPAL_USER"
	asRobot          = "PRINCIPAL_SERVICE_ACCOUNT"
)

func someName(prefix string) string { return prefix + " " + rand.Text()[:12] }

func subject(id any, principal string) object { return object{"id": id, "principal": principal} }

// provider pushes to a SCIM configuration.
type provider struct {
	*client
	token string
	scim  object
}

func (c *client) newProvider() *provider {
	c.t.Helper()
	c = c.of(organization)
	scim, created := c.createSCIM(c.createSSO(nil), nil)
	return &provider{c, created["token"].(string), scim}
}

func (p *provider) send(method, path string, body object) object {
	p.t.Helper()
	encoded, err := json.Marshal(body)
	p.must(err)
	request, err := http.NewRequest(method, url+"/scim/v2"+path, bytes.NewReader(encoded))
	p.must(err)
	request.Header.Set("Authorization", "Bearer "+p.token)
	request.Header.Set("Content-Type", "application/scim+json")
	response, err := http.DefaultClient.Do(request)
	p.must(err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	p.must(err)
	if response.StatusCode >= 300 {
		p.t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, answer)
	}
	var decoded object
	if len(answer) > 0 {
		p.must(json.Unmarshal(answer, &decoded))
	}
	return decoded
}

// push provisions a person, who becomes a member and leaves at the end of the test.
func (p *provider) push(name string) (member, pushed object) {
	p.t.Helper()
	email := strings.ToLower(rand.Text()) + "@example.com"
	pushed = p.send("POST", "/Users", object{
		"schemas": []any{ofUsers}, "userName": email, "displayName": name,
		"emails": []any{object{"value": email, "primary": true}},
	})
	found := p.members(object{"email": email})
	if len(found) != 1 {
		p.t.Fatalf("%s is not a member: %v", email, found)
	}
	p.t.Cleanup(func() {
		if _, err := p.try(organization, "GetSCIMConfiguration", theSCIM(p.scim)); err == nil {
			p.send("DELETE", "/Users/"+pushed["id"].(string), nil)
		}
	})
	return found[0].(object), pushed
}

func (c *client) members(filter object) []any {
	c.t.Helper()
	return c.of(organization).pages("ListMembers", "members", 0, with(thisOrganization, object{"filter": filter}))
}

func (c *client) invalid(field, method string, fields object) {
	c.t.Helper()
	refusal := c.refused(connect.CodeInvalidArgument, method, fields)
	c.equal(namesInViolations(refusal, field), true)
}

func (c *client) me() object {
	c.t.Helper()
	return c.of(identity).call("GetAuthenticatedIdentity", nil)["subject"].(object)
}

func (c *client) createGroup(changes object) object {
	c.t.Helper()
	fields := with(with(thisOrganization, object{"name": someName("Group")}), changes)
	group := c.of(groups).call("CreateGroup", fields)["group"].(object)
	c.t.Cleanup(func() { c.as(token).try(groups, "DeleteGroup", theGroup(group)) })
	return group
}

func theGroup(group object) object { return object{"groupId": group["id"]} }

func (c *client) add(group, subject object) object {
	c.t.Helper()
	fields := with(theGroup(group), object{"subject": subject})
	return c.of(groups).call("CreateMembership", fields)["member"].(object)
}

func assignment(group object, role, kind string, id any) object {
	return with(theGroup(group), object{"resourceRole": role, "resourceType": kind, "resourceId": id})
}

func (c *client) assign(fields object) object {
	c.t.Helper()
	return c.of(groups).call("CreateRoleAssignment", fields)["assignment"].(object)
}

func (c *client) createRobot(name string) object {
	c.t.Helper()
	fields := object{
		"name": name, "description": "Builds it",
		"validUntil": time.Now().AddDate(0, 0, 30).UTC().Format(time.RFC3339),
	}
	robot := c.of(serviceAccounts).call("CreateServiceAccount", fields)["serviceAccount"].(object)
	c.t.Cleanup(func() { c.try(serviceAccounts, "DeleteServiceAccount", theRobot(robot)) })
	return robot
}

func theRobot(robot object) object { return object{"serviceAccountId": robot["id"]} }

func (c *client) accessToken(robot object) string {
	c.t.Helper()
	answer := c.of(serviceAccounts).call("CreateServiceAccountAccessToken", theRobot(robot))
	return answer["token"].(string)
}

// log is what the audit log has, as the server sorts it.
func (c *client) log(pageSize int, fields object) []any {
	c.t.Helper()
	return c.of(events).pages("ListAuditLogs", "entries", pageSize, fields)
}

// each is a field of every item.
func each(items []any, field string) []any {
	values := []any{}
	for _, item := range items {
		values = append(values, item.(object)[field])
	}
	return values
}

func TestAnOrganizationIsRenamedAndLetsInDomains(t *testing.T) {
	c := newClient(t)
	update := func(changes object) object {
		return c.call("UpdateOrganization", with(thisOrganization, changes))["organization"].(object)
	}
	before := c.call("GetOrganization", thisOrganization)["organization"].(object)

	renamed := update(object{"name": "Acme"})
	c.equal(renamed["updatedAt"] == before["updatedAt"], false)
	c.equal(renamed, with(before, object{"name": "Acme", "updatedAt": renamed["updatedAt"]}))
	domains := object{"domains": []any{"acme.example", "acme.test"}}
	opened := update(object{"inviteDomains": object{"domains": []any{"Acme.example", "acme.test"}}})
	c.equal(opened, with(renamed, object{"inviteDomains": domains, "updatedAt": opened["updatedAt"]}))
	c.equal(c.call("GetOrganization", thisOrganization)["organization"], opened)
	for field, change := range map[string]object{
		"invite_domains": {"inviteDomains": object{"domains": []any{"nodot"}}},
		"name":           {"name": ""},
	} {
		c.invalid(field, "UpdateOrganization", with(thisOrganization, change))
	}
	closed := update(object{"name": before["name"], "inviteDomains": object{}})
	c.equal(closed, with(before, object{"updatedAt": closed["updatedAt"]}))
}

func TestOnlyOperatorsMakeOrganizations(t *testing.T) {
	c := newClient(t)
	c.refused(connect.CodePermissionDenied, "CreateOrganization", object{"name": "Another one"})
	// Which could be deleted, if it were the caller's.
	c.refused(connect.CodePermissionDenied, "DeleteOrganization", object{"organizationId": someID})
}

func TestAnInvitationIsReadUntilANewerOneTakesItsPlace(t *testing.T) {
	c := newClient(t)
	first := c.call("CreateOrganizationInvite", thisOrganization)
	c.equal(c.call("GetOrganizationInvite", thisOrganization), first)
	c.newProvider().push("Ada Lovelace")
	name := c.call("GetOrganization", thisOrganization)["organization"].(object)["name"]
	c.equal(c.call("GetOrganizationInviteSummary", first["invite"].(object)), object{
		"organizationId":          organizationID,
		"organizationName":        name,
		"organizationMemberCount": float64(len(c.members(object{"statuses": []any{active}}))),
	})
	second := c.call("CreateOrganizationInvite", thisOrganization)
	c.equal(c.call("GetOrganizationInvite", thisOrganization), second)
	c.equal(reflect.DeepEqual(first, second), false)
	c.refused(connect.CodeNotFound, "GetOrganizationInviteSummary", first["invite"].(object))
}

func TestWhatIsForPeopleIsRefusedToAServiceAccount(t *testing.T) {
	c := newClient(t)
	invite := c.call("CreateOrganizationInvite", thisOrganization)["invite"].(object)
	c.refused(connect.CodeFailedPrecondition, "JoinOrganization", invite)
	c.invalid("invite_id", "JoinOrganization", nil)
	c.of(accountService).refused(connect.CodeFailedPrecondition, "ListJoinableOrganizations", nil)
	c.of(accountService).refused(connect.CodeFailedPrecondition, "GetAccount", nil)
	c.of(users).refused(connect.CodeFailedPrecondition, "GetAuthenticatedUser", nil)
	// Nor does it act for a member.
	ada, _ := c.newProvider().push("Ada Lovelace")
	for _, id := range []any{ada["userId"], c.me()["id"]} {
		c.refused(connect.CodePermissionDenied, "LeaveOrganization", object{"userId": id})
		c.of(users).refused(connect.CodePermissionDenied, "CreatePersonalAccessToken",
			object{"userId": id, "description": "Mine", "validFor": "86400s"})
	}
}

func TestAPushedPersonIsAMember(t *testing.T) {
	c := newClient(t)
	ada, _ := c.newProvider().push("Ada Lovelace")
	which := object{"userId": ada["userId"]}
	user := c.of(users).call("GetUser", which)["user"].(object)
	c.inDays(user["createdAt"], 0)
	c.equal(user, object{
		"id":             ada["userId"],
		"organizationId": organizationID,
		"name":           "Ada Lovelace",
		"email":          ada["email"],
		"status":         active,
		"createdAt":      user["createdAt"],
	})
	c.equal(ada, object{
		"userId":        user["id"],
		"role":          isMember,
		"memberSince":   user["createdAt"],
		"fullName":      "Ada Lovelace",
		"email":         ada["email"],
		"status":        active,
		"loginProvider": "custom",
	})
	c.of(users).refused(connect.CodeNotFound, "GetUser", object{"userId": someID})
}

func TestAMemberBecomesAnAdministratorAndOneIsLeft(t *testing.T) {
	c := newClient(t)
	provider := c.newProvider()
	ada, _ := provider.push("Ada Lovelace")
	grace, _ := provider.push("Grace Hopper")
	role := func(member object, role any) object {
		return with(thisOrganization, object{"userId": member["userId"], "role": role})
	}
	administrators := func() []any {
		return each(c.members(object{
			"userIds": []any{ada["userId"], grace["userId"]}, "roles": []any{isAdmin},
		}), "fullName")
	}
	c.equal(c.call("SetRole", role(ada, isAdmin)), object{})
	c.equal(administrators(), []any{"Ada Lovelace"})
	c.refused(connect.CodeFailedPrecondition, "SetRole", role(ada, isMember))
	c.call("SetRole", role(grace, isAdmin))
	c.equal(administrators(), []any{"Ada Lovelace", "Grace Hopper"})
	c.call("SetRole", role(ada, isMember))
	c.equal(administrators(), []any{"Grace Hopper"})
	c.invalid("role", "SetRole", role(ada, nil))
	c.refused(connect.CodeNotFound, "SetRole", role(object{"userId": someID}, isAdmin))
}

func TestAMemberIsSuspendedUntilThatIsLifted(t *testing.T) {
	c := newClient(t).of(users)
	ada, _ := c.newProvider().push("Ada Lovelace")
	which := object{"userId": ada["userId"]}
	for _, step := range []struct {
		suspended bool
		status    string
	}{{true, suspended}, {false, active}} {
		c.equal(c.call("SetSuspended", with(which, object{"suspended": step.suspended})), object{})
		c.equal(c.call("GetUser", which)["user"].(object)["status"], step.status)
		found := c.members(object{"userIds": []any{ada["userId"]}, "statuses": []any{step.status}})
		c.equal(each(found, "userId"), []any{ada["userId"]})
	}
	c.refused(connect.CodeNotFound, "SetSuspended", object{"userId": someID, "suspended": true})
}

func TestAMemberIsDeletedOnceNobodyProvisionsIt(t *testing.T) {
	c := newClient(t).of(users)
	provider := c.newProvider()
	ada, _ := provider.push("Ada Lovelace")
	which := object{"userId": ada["userId"]}
	c.refused(connect.CodeFailedPrecondition, "DeleteUser", which)
	c.of(organization).call("DeleteSCIMConfiguration", theSCIM(provider.scim))
	c.equal(c.call("GetUser", which)["user"].(object)["status"], active)
	c.equal(c.call("DeleteUser", which), object{})
	c.equal(c.call("GetUser", which)["user"].(object)["status"], "USER_STATUS_LEFT")
	c.refused(connect.CodeNotFound, "DeleteUser", which)
}

func TestOnlyMembersHavePersonalAccessTokens(t *testing.T) {
	c := newClient(t).of(users)
	ada, _ := c.newProvider().push("Ada Lovelace")
	which := object{"personalAccessTokenId": someID}
	c.equal(c.pages("ListPersonalAccessTokens", "personalAccessTokens", 0, nil), []any{})
	filter := object{"filter": object{"userIds": []any{ada["userId"]}}}
	c.equal(c.pages("ListPersonalAccessTokens", "personalAccessTokens", 0, filter), []any{})
	c.refused(connect.CodeNotFound, "GetPersonalAccessToken", which)
	c.refused(connect.CodeNotFound, "DeletePersonalAccessToken", which)
	c.invalid("valid_for", "CreatePersonalAccessToken", object{"userId": ada["userId"], "validFor": "7776001s"})
}

// The whole life of a group with a member and a role, over every protocol and encoding that clients use.
func TestTheWholeLifeOfAGroup(t *testing.T) {
	for name, dial := range protocols {
		t.Run(name, func(t *testing.T) {
			c := dial(t).of(groups)
			group := c.createGroup(object{"description": "Who builds it"})
			c.inDays(group["createdAt"], 0)
			c.equal(uuidV7.MatchString(group["id"].(string)), true)
			c.equal(group, object{
				"id":             group["id"],
				"organizationId": organizationID,
				"name":           group["name"],
				"description":    "Who builds it",
				"createdAt":      group["createdAt"],
				"updatedAt":      group["createdAt"],
			})
			byID := object{"id": group["id"]}
			for _, which := range []object{byID, {"name": group["name"]}, {"groupId": group["id"]}} {
				c.equal(c.call("GetGroup", which), object{"group": group})
			}
			c.refused(connect.CodeAlreadyExists, "CreateGroup", with(thisOrganization, object{"name": group["name"]}))
			c.invalid("name", "CreateGroup", with(thisOrganization, object{"name": "ab"}))

			changes := object{"name": someName("Builders"), "description": "Who built it"}
			updated := c.call("UpdateGroup", with(theGroup(group), changes))["group"].(object)
			c.equal(updated["updatedAt"] == group["updatedAt"], false)
			c.equal(updated, with(with(group, changes), object{"updatedAt": updated["updatedAt"]}))
			c.refused(connect.CodeNotFound, "GetGroup", object{"name": group["name"]})

			robot := c.createRobot("Robot")
			member := c.add(group, subject(robot["id"], asRobot))
			c.equal(member, object{
				"id":      member["id"],
				"groupId": group["id"],
				"subject": subject(robot["id"], asRobot),
				"name":    "Robot",
			})
			which := with(theGroup(group), object{"subject": member["subject"]})
			c.equal(c.call("GetMembership", which), object{"member": member})
			c.equal(c.pages("ListMemberships", "members", 0, theGroup(group)), []any{member})
			c.equal(c.call("GetGroup", byID), object{"group": with(updated, object{"memberCount": 1.0})})

			wanted := assignment(group, "RESOURCE_ROLE_ORG_BILLING_VIEWER", thisKind, organizationID)
			assigned := c.assign(wanted)
			c.equal(assigned, with(with(wanted, thisOrganization), object{"id": assigned["id"]}))
			filter := object{"filter": theGroup(group)}
			c.equal(c.pages("ListRoleAssignments", "assignments", 0, filter), []any{assigned})
			c.equal(c.call("DeleteRoleAssignment", object{"assignmentId": assigned["id"]}), object{})
			c.refused(connect.CodeNotFound, "DeleteRoleAssignment", object{"assignmentId": assigned["id"]})

			c.equal(c.call("DeleteMembership", object{"membershipId": member["id"]}), object{})
			c.refused(connect.CodeNotFound, "DeleteMembership", object{"membershipId": member["id"]})
			c.refused(connect.CodeNotFound, "GetMembership", which)
			c.equal(c.call("DeleteGroup", theGroup(group)), object{})
			c.refused(connect.CodeNotFound, "GetGroup", byID)
			c.refused(connect.CodeNotFound, "DeleteGroup", theGroup(group))
		})
	}
}

func TestGroupsAreFoundByEveryFilter(t *testing.T) {
	c := newClient(t).of(groups)
	provider := c.newProvider()
	ada, pushedUser := provider.push("Ada Lovelace")
	first := c.createGroup(object{"name": someName("First"), "description": "Red"})
	second := c.createGroup(object{"name": someName("Second"), "description": "Blue"})
	pushed := provider.send("POST", "/Groups", object{
		"schemas": []any{ofGroups}, "displayName": "Pushed", "members": []any{object{"value": pushedUser["id"]}},
	})
	organizationItself := object{"resourceType": thisKind, "resourceId": organizationID}
	c.assign(assignment(first, "RESOURCE_ROLE_ORG_MEMBER", thisKind, organizationID))
	for _, step := range []struct {
		filter object
		found  []any
	}{
		{nil, []any{first["id"], second["id"], pushed["id"]}},
		{object{"search": "fIRST"}, []any{first["id"]}},
		{object{"search": "blu"}, []any{second["id"]}},
		{object{"search": first["id"]}, []any{first["id"]}},
		{object{"groupIds": []any{second["id"], someID}}, []any{second["id"]}},
		{object{"systemManaged": true}, []any{pushed["id"]}},
		{object{"systemManaged": false}, []any{first["id"], second["id"]}},
		{object{"directShare": true}, []any{}},
		{object{"excludeAssignedToResource": organizationItself}, []any{second["id"], pushed["id"]}},
	} {
		c.equal(each(c.pages("ListGroups", "groups", 1, object{"filter": with(step.filter, nil)}), "id"), step.found)
	}

	// What an identity provider pushes is read alone.
	group := c.call("GetGroup", object{"name": "Pushed"})["group"].(object)
	c.equal([]any{group["systemManaged"], group["memberCount"]}, []any{true, 1.0})
	members := c.pages("ListMemberships", "members", 0, theGroup(group))
	c.equal(each(members, "subject"), []any{subject(ada["userId"], asUser)})
	c.refused(connect.CodeFailedPrecondition, "UpdateGroup", with(theGroup(group), object{"name": "Renamed"}))
	c.refused(connect.CodeFailedPrecondition, "DeleteGroup", theGroup(group))
	c.refused(connect.CodeFailedPrecondition, "CreateMembership",
		with(theGroup(group), object{"subject": subject(ada["userId"], asUser)}))
}

func TestPeopleAndServiceAccountsAreMembersOfAGroup(t *testing.T) {
	c := newClient(t).of(groups)
	person, _ := c.newProvider().push("Ada Lovelace")
	ada := subject(person["userId"], asUser)
	robot := subject(c.createRobot("Robot")["id"], asRobot)
	group := c.createGroup(nil)
	members := []any{c.add(group, ada), c.add(group, robot)}
	c.equal(each(members, "subject"), []any{ada, robot})
	c.equal(each(members, "name"), []any{"Ada Lovelace", "Robot"})
	c.refused(connect.CodeAlreadyExists, "CreateMembership", with(theGroup(group), object{"subject": ada}))
	nobody := object{"subject": subject(someID, asUser)}
	c.refused(connect.CodeNotFound, "CreateMembership", with(theGroup(group), nobody))

	list := func(search any) []any {
		return c.pages("ListMemberships", "members", 1,
			with(theGroup(group), object{"filter": with(object{"search": search}, nil)}))
	}
	c.equal(list(nil), members)
	c.equal(list("LOVE"), members[:1])
	c.equal(list(robot["id"]), members[1:])
	c.call("DeleteMembership", object{"membershipId": members[0].(object)["id"]})
	c.equal(list(nil), members[1:])
}

func TestRoleAssignmentsAreFoundByEveryFilter(t *testing.T) {
	c := newClient(t).of(groups)
	ada, _ := c.newProvider().push("Ada Lovelace")
	group, other := c.createGroup(nil), c.createGroup(nil)
	c.add(group, subject(ada["userId"], asUser))
	reading := assignment(group, "RESOURCE_ROLE_ORG_AUDIT_LOG_READER", thisKind, organizationID)
	reader := c.assign(reading)
	admin := c.assign(assignment(group, "RESOURCE_ROLE_GROUP_ADMIN", groupKind, other["id"]))
	others := c.assign(assignment(other, "RESOURCE_ROLE_ORG_MEMBER", thisKind, organizationID))
	for _, step := range []struct {
		filter object
		found  []any
	}{
		{object{}, []any{reader, admin, others}},
		{object{"groupId": group["id"]}, []any{reader, admin}},
		{object{"userId": ada["userId"]}, []any{reader, admin}},
		{object{"resourceTypes": []any{groupKind}}, []any{admin}},
		{object{"resourceRoles": []any{"RESOURCE_ROLE_ORG_MEMBER"}}, []any{others}},
		{object{"resourceId": organizationID}, []any{reader, others}},
		{object{"resourceIds": []any{other["id"]}}, []any{admin}},
	} {
		c.equal(c.pages("ListRoleAssignments", "assignments", 1, object{"filter": step.filter}), step.found)
	}
	c.refused(connect.CodeAlreadyExists, "CreateRoleAssignment", reading)
	c.invalid("resource_role", "CreateRoleAssignment",
		assignment(group, "RESOURCE_ROLE_GROUP_ADMIN", thisKind, organizationID))
	c.call("DeleteGroup", theGroup(group))
	c.equal(c.pages("ListRoleAssignments", "assignments", 1, nil), []any{others})
}

func TestAServiceAccountIsMadeReadChangedAndDeleted(t *testing.T) {
	c := newClient(t).of(serviceAccounts)
	robot := c.createRobot("Robot")
	c.inDays(robot["createdAt"], 0)
	c.inDays(robot["validUntil"], 30)
	c.equal(robot, object{
		"id":             robot["id"],
		"organizationId": organizationID,
		"name":           "Robot",
		"description":    "Builds it",
		"creator":        c.me(),
		"createdAt":      robot["createdAt"],
		"validUntil":     robot["validUntil"],
	})
	list := func(filter object) []any {
		return c.pages("ListServiceAccounts", "serviceAccounts", 1, object{"filter": filter})
	}
	c.equal(c.call("GetServiceAccount", theRobot(robot)), object{"serviceAccount": robot})
	c.equal(list(object{"search": "rOB"}), []any{robot})

	updated := with(robot, object{"description": nil})
	c.equal(c.call("UpdateServiceAccount", with(theRobot(robot), object{"description": ""})),
		object{"serviceAccount": updated})
	updated = with(updated, object{"name": "Android"})
	c.equal(c.call("UpdateServiceAccount", with(theRobot(robot), object{"name": "Android"})),
		object{"serviceAccount": updated})

	c.of(users).call("SetSuspended", object{"userId": robot["id"], "suspended": true})
	only := object{"serviceAccountIds": []any{robot["id"]}}
	c.equal(list(only), []any{})
	c.equal(list(with(only, object{"includeSuspended": true})), []any{with(updated, object{"suspended": true})})

	c.equal(c.call("DeleteServiceAccount", theRobot(robot)), object{})
	for _, method := range []string{"GetServiceAccount", "UpdateServiceAccount", "DeleteServiceAccount"} {
		c.refused(connect.CodeNotFound, method, theRobot(robot))
	}
	c.invalid("valid_until", "CreateServiceAccount", object{"name": "Robot", "validUntil": "1970-01-01T00:00:00Z"})
}

func TestAnAccessTokenMakesLastingOnes(t *testing.T) {
	c := newClient(t).of(serviceAccounts)
	robot := c.createRobot("Robot")
	itself := subject(robot["id"], asRobot)
	short := c.as(c.accessToken(robot))
	c.equal(short.me(), itself)

	first := short.call("CreateServiceAccountToken", object{"description": "Lasting", "validFor": "604800s"})
	second := short.call("CreateServiceAccountToken", object{"description": "As long as the account"})
	lasting, other := first["serviceAccountToken"].(object), second["serviceAccountToken"].(object)
	c.inDays(lasting["expiresAt"], 7)
	c.inDays(other["expiresAt"], 30)
	c.equal(lasting, object{
		"id":               lasting["id"],
		"serviceAccountId": robot["id"],
		"description":      "Lasting",
		"creator":          itself,
		"createdAt":        lasting["createdAt"],
		"expiresAt":        lasting["expiresAt"],
	})
	which := object{"serviceAccountTokenId": lasting["id"]}
	c.equal(c.call("GetServiceAccountToken", which), object{"token": lasting})
	for _, client := range []*client{c, short} {
		c.equal(client.pages("ListServiceAccountTokens", "tokens", 1, nil), []any{lasting, other})
	}
	withFirst, withSecond := c.of(identity).as(first["token"].(string)), c.of(identity).as(second["token"].(string))
	c.equal(withFirst.me(), itself)

	c.equal(c.call("DeleteServiceAccountToken", which), object{})
	withFirst.refused(connect.CodeUnauthenticated, "GetAuthenticatedIdentity", nil)
	c.refused(connect.CodeNotFound, "GetServiceAccountToken", which)
	c.refused(connect.CodeNotFound, "DeleteServiceAccountToken", which)
	c.equal(withSecond.me(), itself)

	c.call("DeleteServiceAccount", theRobot(robot))
	withSecond.refused(connect.CodeUnauthenticated, "GetAuthenticatedIdentity", nil)
	short.of(identity).refused(connect.CodeUnauthenticated, "GetAuthenticatedIdentity", nil)
}

func TestAServiceAccountMayDoWhatItsGroupsMay(t *testing.T) {
	c := newClient(t)
	robot, group := c.createRobot("Robot"), c.createGroup(nil)
	c.add(group, subject(robot["id"], asRobot))
	short := c.as(c.accessToken(robot))
	reads := func() error { _, err := short.try(events, "ListAuditLogs", nil); return err }
	groupsOnly := func() error {
		answer, err := short.try(groups, "CreateGroup", with(thisOrganization, object{"name": someName("Group")}))
		if err == nil {
			c.of(groups).call("DeleteGroup", theGroup(answer["group"].(object)))
		}
		return err
	}
	administers := func() error {
		_, err := short.try(serviceAccounts, "CreateServiceAccountAccessToken", theRobot(robot))
		return err
	}
	for _, step := range []struct {
		role string
		may  []bool
	}{
		{"", []bool{false, false, false}},
		{"RESOURCE_ROLE_ORG_MEMBER", []bool{false, false, false}},
		{"RESOURCE_ROLE_ORG_AUDIT_LOG_READER", []bool{true, false, false}},
		{"RESOURCE_ROLE_ORG_GROUPS_ADMIN", []bool{false, true, false}},
		{"RESOURCE_ROLE_ORG_ADMIN", []bool{true, true, true}},
		{"", []bool{false, false, false}},
	} {
		var assigned object
		if step.role != "" {
			assigned = c.assign(assignment(group, step.role, thisKind, organizationID))
		}
		for i, call := range []func() error{reads, groupsOnly, administers} {
			switch err := call(); {
			case step.may[i]:
				c.must(err)
			default:
				c.equal(connect.CodeOf(err), connect.CodePermissionDenied)
			}
		}
		if assigned != nil {
			c.of(groups).call("DeleteRoleAssignment", object{"assignmentId": assigned["id"]})
		}
	}
	c.of(users).call("SetSuspended", object{"userId": robot["id"], "suspended": true})
	short.of(identity).refused(connect.CodeUnauthenticated, "GetAuthenticatedIdentity", nil)
}

func TestTheAuditLogTellsWhoDidWhat(t *testing.T) {
	c := newClient(t).of(groups)
	group := c.createGroup(nil)
	c.call("UpdateGroup", with(theGroup(group), object{"name": someName("Renamed")}))
	c.call("DeleteGroup", theGroup(group))
	me := c.me()["id"]
	list := func(pageSize int, sort, filter object) []any {
		filter = with(object{"subjectIds": []any{group["id"]}}, filter)
		return c.log(pageSize, object{"filter": filter, "sort": with(sort, nil)})
	}
	entries := list(0, nil, nil)
	c.equal(each(entries, "action"), []any{"DeleteGroup", "UpdateGroup", "CreateGroup"})
	for _, entry := range entries {
		entry := entry.(object)
		c.inDays(entry["createdAt"], 0)
		c.equal(with(entry, object{"id": nil, "action": nil, "createdAt": nil}), object{
			"actorId":        me,
			"actorPrincipal": asRobot,
			"subjectId":      group["id"],
			"subjectType":    groupKind,
			"kind":           "AUDIT_LOG_ENTRY_KIND_RESOURCE_CHANGE",
		})
	}
	reversed := slices.Clone(entries)
	slices.Reverse(reversed)
	oldestFirst := object{"field": "created_at", "order": "SORT_ORDER_ASC"}
	c.equal(list(0, oldestFirst, nil), reversed)
	c.equal(list(1, nil, nil), entries)
	c.equal(list(1, oldestFirst, nil), reversed)
	anHourAgo := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, filter := range []object{
		{"actorIds": []any{me}}, {"actorPrincipals": []any{asRobot}}, {"subjectTypes": []any{groupKind}},
		{"from": anHourAgo},
	} {
		c.equal(list(0, nil, filter), entries)
	}
	for _, filter := range []object{
		{"actorIds": []any{someID}}, {"actorPrincipals": []any{asUser}}, {"subjectTypes": []any{robotKind}},
		{"to": anHourAgo},
	} {
		c.equal(list(0, nil, filter), []any{})
	}
	c.of(events).invalid("sort", "ListAuditLogs", object{"sort": object{"field": "action"}})

	answer := c.of(events).call("GetAuditLog", object{"auditLogEntryId": entries[1].(object)["id"]})
	// What the details say is our own, which the published descriptors do not know.
	c.equal(answer, object{"entry": entries[1], "details": object{}})
	c.of(events).refused(connect.CodeNotFound, "GetAuditLog", object{"auditLogEntryId": someID})
}

func TestChangesAreToldAsTheyHappen(t *testing.T) {
	for name, dial := range protocols {
		t.Run(name, func(t *testing.T) {
			c := dial(t).of(groups)
			rpc, request := c.rpc(events, "WatchEvents", object{
				"organization":        true,
				"resourceTypeFilters": []any{object{"resourceType": groupKind}},
			})
			stop, cancel := context.WithCancel(context.Background())
			defer cancel()
			stream, err := rpc.CallServerStream(stop, request)
			c.must(err)
			// The stream has begun when the server answers.
			stream.ResponseHeader()

			robot, group := c.createRobot("Robot"), c.createGroup(nil)
			c.call("UpdateGroup", with(theGroup(group), object{"name": someName("Renamed")}))
			c.add(group, subject(robot["id"], asRobot))
			c.call("DeleteGroup", theGroup(group))
			for _, operation := range []string{"CREATE", "UPDATE", "DELETE"} {
				if !stream.Receive() {
					t.Fatalf("the stream ended: %v", stream.Err())
				}
				c.equal(c.decode(stream.Msg()), object{
					"operation":    "RESOURCE_OPERATION_" + operation,
					"resourceType": groupKind,
					"resourceId":   group["id"],
				})
			}
		})
	}
}

func TestThereAreNoEnvironmentsToWatch(t *testing.T) {
	c := newClient(t)
	rpc, request := c.rpc(events, "WatchEvents", object{"environmentId": someID})
	stream, err := rpc.CallServerStream(context.Background(), request)
	c.must(err)
	c.equal(stream.Receive(), false)
	c.equal(connect.CodeOf(stream.Err()), connect.CodeInvalidArgument)
}
