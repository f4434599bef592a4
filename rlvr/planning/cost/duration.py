"""Say a duration in words."""


def duration(seconds: float) -> str:
    """Write seconds as a person would.

    >>> duration(50), duration(5000)
    ('50 s', '83 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
