def clean(text):
    return (
        text
        .strip()
        .removeprefix("id:")
        .get("value")
        .lower()
    )


clean(" id:7 ")
