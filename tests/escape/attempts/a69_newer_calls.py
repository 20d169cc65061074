"""Use calls that are younger than most filters."""

from kit import every, in_child, refused, syscall

CALLS = {
    "pidfd_getfd": (438, -1, 0, 0),
    "quotactl_fd": (443, -1, 0, 0, 0),
    "memfd_secret": (447, 0),
    "process_mrelease": (448, -1, 0),
    "set_mempolicy_home_node": (450, 0, 0, 0, 0),
    "statmount": (457, 0, 0, 0, 0),
    "listmount": (458, 0, 0, 0, 0),
    "lsm_get_self_attr": (459, 0, 0, 0, 0),
    "lsm_set_self_attr": (460, 0, 0, 0, 0),
    "setxattrat": (463, -1, 0, 0, 0, 0, 0),
    "open_tree_attr": (467, -1, 0, 0, 0, 0),
    "fspick": (433, -1, 0, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "name_to_handle_at": (303, -1, 0, 0, 0, 0),
    "move_pages": (279, 0, 0, 0, 0, 0, 0),
    "modify_ldt": (154, 0, 0, 0),
    "vhangup": (153,),
    "clock_adjtime": (305, 0, 0),
    "setdomainname": (171, 0, 0),
    "io_setup": (206, 1, 0),
    "uselib": (134, 0, 0),
}


def attempt(event):
    return every(in_child(lambda name=name, call=call: refused(name, syscall(*call))) for name, call in CALLS.items())
