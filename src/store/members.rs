//! Members of organizations, and the groups that they are in, as applications read them.
