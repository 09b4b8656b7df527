# needs: Python 3.11
class FormError(ExceptionGroup):
    def derive(self, errors):
        return FormError(self.message, errors)


def check(form):
    errors = [ValueError(f"{name} is empty") for name, value in form.items() if not value]
    if errors:
        raise FormError("the form is wrong", errors)


check({"name": "", "mail": "a@example.org", "city": ""})
